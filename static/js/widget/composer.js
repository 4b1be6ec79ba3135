import { words } from "./words.js";

const LONGEST = 4000;
const COUNT_FROM = 3600;

/** Where the customer writes. What is half written outlives a reload of this tab. */
export class Composer {
  constructor(store, { changed, send }) {
    this.store = store;
    this.changed = changed;
    this.send = send;
    this.form = document.getElementById("composer");
    this.field = document.getElementById("composer-text");
    this.button = document.getElementById("send");
    this.counter = document.getElementById("counter");
    this.field.value = store.read("writing") ?? "";
    this.field.addEventListener("input", () => this.#written());
    this.field.addEventListener("keydown", (event) => this.#pressed(event));
    this.form.addEventListener("submit", (event) => this.#submitted(event));
    this.#show();
  }

  focus() {
    this.field.focus();
  }

  placeholder(text) {
    this.field.placeholder = text;
  }

  /** Gives a text back to be changed, below what is already being written. */
  edit(text) {
    this.field.value = [this.field.value, text].filter(Boolean).join("\n");
    this.#written();
    this.focus();
  }

  disable() {
    this.field.disabled = this.button.disabled = true;
  }

  #pressed(event) {
    // An Enter that ends the composition of a character is not meant to send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.form.requestSubmit();
  }

  #submitted(event) {
    event.preventDefault();
    const text = this.#text;
    if (!text || this.#left < 0 || !this.send(text)) return;
    this.field.value = "";
    this.#written();
    this.focus();
  }

  #written() {
    this.store.write("writing", this.field.value);
    this.#show();
    this.changed(this.field.value);
  }

  // NUL and lone surrogates can't be stored; a paste may hold them.
  get #text() {
    const text = this.field.value.replaceAll("\0", "");
    return (text.toWellFormed?.() ?? text).trim();
  }

  get #left() {
    return LONGEST - [...this.#text].length;
  }

  #show() {
    const left = this.#left;
    this.counter.textContent = left > LONGEST - COUNT_FROM ? "" : left < 0 ? words.over(-left) : words.left(left);
    this.counter.classList.toggle("over", left < 0);
    this.button.disabled = this.field.disabled || left < 0 || left === LONGEST;
    // Browsers without field-sizing need the height said.
    if (CSS.supports("field-sizing", "content")) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
