const EXPIRES = 6000;
const REPEAT = 3000;

/** The other side's typing. A fact that is not repeated runs out by itself. */
export class TypingIndicator {
  #timer = null;

  constructor() {
    this.element = document.getElementById("typing");
  }

  show(isTyping) {
    clearTimeout(this.#timer);
    this.element.hidden = !isTyping;
    if (isTyping) this.#timer = setTimeout(() => (this.element.hidden = true), EXPIRES);
  }
}

/** The customer's own typing, told at most once in three seconds. */
export class OwnTyping {
  #toldAt = -REPEAT;
  #isTyping = false;

  constructor(connection) {
    this.connection = connection;
  }

  changed(text) {
    if (!text.trim()) return this.stopped();
    if (performance.now() - this.#toldAt < REPEAT) return;
    this.#toldAt = performance.now();
    this.#tell(true);
  }

  stopped() {
    if (this.#isTyping) this.#tell(false);
    this.#toldAt = -REPEAT;
  }

  #tell(isTyping) {
    this.#isTyping = isTyping;
    if (this.connection.isConnected) this.connection.command("typing", { is_typing: isTyping });
  }
}
