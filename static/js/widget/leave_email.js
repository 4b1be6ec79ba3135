import { words } from "./words.js";

/** Where the team can write to: asked of who wanted a person while nobody is there. */
export class LeaveEmail {
  constructor(connection, notice, { done }) {
    this.connection = connection;
    this.notice = notice;
    this.done = done;
    this.form = document.getElementById("leave-email");
    this.input = this.form.elements.email;
    this.error = document.getElementById("leave-email-error");
    this.form.addEventListener("submit", (event) => this.#submitted(event));
    this.form.querySelector("[data-no]").addEventListener("click", () => this.#close());
  }

  offer() {
    this.#refuse("");
    this.form.hidden = false;
  }

  /** Somebody came, or the conversation ended: nothing is asked for any more. */
  withdraw() {
    this.form.hidden = true;
  }

  #close() {
    this.withdraw();
    this.done();
  }

  async #submitted(event) {
    event.preventDefault();
    const email = this.input.value.trim();
    if (!email) return this.#refuse(words.emailMissing);
    const { error } = await this.connection.command("leave_email", { email });
    if (error) return this.#refuse(error.code === "invalid" ? words.emailWrong : words.tryLater);
    this.#close();
    this.notice.show(words.emailThanks, [words.ok, this.done]);
  }

  #refuse(text) {
    this.error.textContent = text;
    if (text) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
    if (text) this.input.focus();
  }
}
