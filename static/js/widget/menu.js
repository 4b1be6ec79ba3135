import { words } from "./words.js";

/** The header's menu: asking for a person and ending the conversation, both answered in the notice. */
export class Menu {
  constructor(connection, notice, { done, answered }) {
    this.connection = connection;
    this.notice = notice;
    this.done = done;
    this.answered = answered;
    this.button = document.getElementById("menu-button");
    this.list = document.getElementById("menu");
    this.end = document.getElementById("end-conversation");
    this.button.addEventListener("click", () => this.#toggle(this.list.hidden));
    document.getElementById("request-human").addEventListener("click", () => this.#requestHuman());
    this.end.addEventListener("click", () => this.#confirmEnd());
    document.addEventListener("pointerdown", ({ target }) => target.closest(".menu") || this.#toggle(false));
    this.list.addEventListener("focusout", ({ relatedTarget }) => relatedTarget?.closest(".menu") || this.#toggle(false));
  }

  /** Whether there is a conversation that can be ended, or that a person could join. */
  active(isActive) {
    this.end.hidden = !isActive;
  }

  /** Closes the open menu; returns whether it was open. */
  close() {
    if (this.list.hidden) return false;
    this.#toggle(false);
    this.button.focus();
    return true;
  }

  #toggle(isOpen) {
    this.list.hidden = !isOpen;
    this.button.setAttribute("aria-expanded", isOpen);
    if (isOpen) this.list.querySelector("button:not([hidden])").focus();
  }

  async #requestHuman() {
    this.close();
    if (this.end.hidden) return this.notice.show(words.writeFirst, [words.ok, this.done]);
    this.notice.show(words.asking);
    const { ok } = await this.connection.command("request_human");
    const answer = ok ? (ok.available ? words.personAvailable : words.personAway) : words.tryLater;
    this.notice.show(answer, [words.ok, this.done]);
    if (ok) this.answered(ok.available);
  }

  #confirmEnd() {
    this.close();
    this.notice.show(words.confirmEnd, [words.end, () => this.#endConversation()], [words.keep, this.done]);
    this.notice.focus();
  }

  async #endConversation() {
    const { error } = await this.connection.command("end_conversation");
    // Already closed by somebody else is what the customer wanted.
    if (error && error.code !== "closed") this.notice.show(words.tryLater, [words.ok, this.done]);
    this.done();
  }
}
