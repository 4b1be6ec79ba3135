import { TEXT_LIMIT, codePoints, sendable } from "../shared/text_limit.js";

const TYPING_AGAIN = 3000;
const TYPING_OVER = 5000;
const NEAR_LIMIT = TEXT_LIMIT - 400;

/** Where the agent writes. Each conversation has one unsent text, which comes back with it. */
export class Composer {
  constructor({ unsent, onSend, onTyping }) {
    Object.assign(this, { unsent, onSend, onTyping, id: null, toldAt: 0, timer: null });
    this.form = document.getElementById("composer");
    this.text = document.getElementById("composer-text");
    this.counter = document.getElementById("composer-counter");
    this.button = document.getElementById("composer-send");
    this.form.addEventListener("submit", (event) => this.submitted(event));
    this.text.addEventListener("input", () => this.written());
    this.text.addEventListener("blur", () => this.pause());
    this.text.addEventListener("keydown", (event) => this.pressed(event));
    addEventListener("resize", () => this.fit());
  }

  /** The conversation to write in, or null where this agent may not write. */
  show(id) {
    this.form.hidden = id === null;
    if (id === this.id) return;
    this.pause();
    this.id = id;
    this.text.value = id === null ? "" : this.unsent.text(id);
    this.measure();
  }

  focus() {
    if (!this.form.hidden) this.text.focus({ preventScroll: true });
  }

  pressed(event) {
    // While an input method composes, Enter picks a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  submitted(event) {
    event.preventDefault();
    const text = sendable(this.text.value);
    if (!text || codePoints(text) > TEXT_LIMIT) return this.text.focus();
    const { id } = this;
    this.text.value = "";
    this.unsent.keepText(id, "");
    this.pause();
    this.measure();
    this.text.focus();
    this.onSend(id, text);
  }

  written() {
    this.unsent.keepText(this.id, this.text.value);
    this.measure();
    if (this.text.value) this.tell();
    else this.pause();
  }

  /** The others' indicator lasts six seconds, so it is told again before that and not at every key. */
  tell() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pause(), TYPING_OVER);
    if (Date.now() - this.toldAt < TYPING_AGAIN) return;
    this.toldAt = Date.now();
    this.onTyping(this.id, true);
  }

  pause() {
    clearTimeout(this.timer);
    if (this.toldAt && this.id) this.onTyping(this.id, false);
    this.toldAt = 0;
  }

  measure() {
    const count = codePoints(this.text.value.trim());
    const over = count - TEXT_LIMIT;
    this.counter.hidden = count < NEAR_LIMIT;
    this.counter.classList.toggle("is-over", over > 0);
    this.counter.textContent = over > 0 ? `${over} too many` : `${count} of ${TEXT_LIMIT}`;
    this.text.setAttribute("aria-invalid", String(over > 0));
    this.button.setAttribute("aria-disabled", String(count === 0 || over > 0));
    this.fit();
  }

  fit() {
    this.text.style.height = "auto";
    this.text.style.height = `${this.text.scrollHeight + 2}px`; // and its two borders
  }
}
