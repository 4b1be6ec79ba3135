import { draftText } from "./draft_text.js";

// What has arrived is shown within this time, however much it is: five updates a second then look like one flow.
const CATCH_UP = 260;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** The text of a running turn, revealed gradually. It is never more than what the server sent. */
export class Draft {
  #text = "";
  #shown = 0;
  #frame = null;
  #before = 0;

  constructor(turn) {
    this.turn = turn;
    this.element = document.getElementById("draft-template").content.firstElementChild.cloneNode(true);
    this.element.dataset.draft = turn;
    this.body = this.element.querySelector(".message-text");
  }

  /** Takes the whole text so far; one that is not a continuation is shown at once. */
  change(text) {
    const continues = text.startsWith(this.#text.slice(0, this.#shown));
    this.#text = text;
    if (!continues || calm.matches || document.hidden) this.#reveal(text.length);
    else if (this.#frame === null) {
      this.#before = performance.now();
      this.#frame = requestAnimationFrame((now) => this.#step(now));
    }
  }

  remove() {
    cancelAnimationFrame(this.#frame);
    this.element.remove();
  }

  #step(now) {
    const remaining = this.#text.length - this.#shown;
    const share = Math.min(1, Math.max(0, now - this.#before) / CATCH_UP);
    this.#before = now;
    this.#reveal(this.#shown + Math.ceil(remaining * share));
    this.#frame = this.#shown < this.#text.length ? requestAnimationFrame((next) => this.#step(next)) : null;
  }

  #reveal(length) {
    // Half of a surrogate pair would show as a broken character for a moment.
    const splits = /[\uD800-\uDBFF]/.test(this.#text[length - 1] ?? "");
    this.#shown = splits ? Math.min(length + 1, this.#text.length) : length;
    this.body.replaceChildren(draftText(this.#text.slice(0, this.#shown)));
  }
}
