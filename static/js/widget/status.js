import { words } from "./words.js";

// A line that is back within this time was no interruption to speak of.
const SHORT = 1200;

/** Says how the connection is, only when it isn't. */
export class Status {
  #timer = null;

  constructor() {
    this.element = document.getElementById("connection");
  }

  show(state, code) {
    clearTimeout(this.#timer);
    this.element.dataset.state = state;
    if (state === "connected") return this.#say("");
    const isPassing = state === "connecting" || state === "lost";
    if (isPassing && !this.element.textContent) this.#timer = setTimeout(() => this.#say(words.connection[state]), SHORT);
    else this.#say(words.connection[code] ?? words.connection[state]);
    if (state === "outdated") this.#offerReload();
  }

  #say(text) {
    if (this.element.textContent !== text) this.element.textContent = text;
  }

  #offerReload() {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words.reload;
    button.addEventListener("click", () => location.reload());
    this.element.append(" ", button);
  }
}
