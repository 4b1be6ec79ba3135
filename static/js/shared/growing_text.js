/**
 * Shows a text that grows in steps as if it grew evenly. Updates come at most five a second; each frame reveals a share
 * of what is missing, so the picture is never more than about a quarter of a second behind.
 */
export class GrowingText {
  constructor(element, onGrow = () => {}) {
    this.element = element;
    this.onGrow = onGrow;
    this.shown = 0;
    this.target = [];
    this.frame = null;
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** `text` is the whole text so far. */
  set(text) {
    this.target = Array.from(text);
    this.shown = Math.min(this.shown, this.target.length);
    // A page in the background gets no frames: it shows the text at once.
    if (this.still.matches || document.hidden) this.show(this.target.length);
    else if (this.frame === null) this.frame = requestAnimationFrame((at) => this.step(at, at));
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
  }

  step(at, before) {
    const missing = this.target.length - this.shown;
    this.show(this.shown + Math.ceil((missing * Math.min(at - before + 8, 100)) / 220));
    this.frame = this.shown < this.target.length ? requestAnimationFrame((next) => this.step(next, at)) : null;
  }

  show(count) {
    this.shown = Math.min(count, this.target.length);
    this.element.textContent = this.target.slice(0, this.shown).join("");
    this.onGrow();
  }
}
