import { words } from "./words.js";

const MOST_KEPT = 20;

/** The optional rating under an ended conversation, asked for once. */
export class Rating {
  constructor(connection, store) {
    this.connection = connection;
    this.store = store;
  }

  /** Puts the form into `ending`, unless this conversation was rated before. */
  offer(conversationId, ending) {
    if (this.#rated.includes(conversationId)) return;
    this.form = document.getElementById("rating-template").content.firstElementChild.cloneNode(true);
    this.form.addEventListener("change", () => this.#chosen());
    this.form.addEventListener("submit", (event) => this.#submitted(event, conversationId));
    ending.append(this.form);
  }

  /** A new conversation has begun: the server would take a rating for that one. */
  withdraw() {
    this.form?.remove();
    this.form = null;
  }

  get #rated() {
    return this.store.read("rated") ?? [];
  }

  get #score() {
    return Number(new FormData(this.form).get("score"));
  }

  #chosen() {
    for (const label of this.form.querySelectorAll(".scores label"))
      label.classList.toggle("is-on", Number(label.firstElementChild.value) <= this.#score);
    this.form.querySelector(".rating-comment").hidden = false;
  }

  async #submitted(event, conversationId) {
    event.preventDefault();
    const { form } = this;
    const payload = { score: this.#score, comment: form.elements.comment.value.trim() };
    const { error } = await this.connection.command("rate_conversation", payload);
    if (error) return void (form.querySelector("[role=status]").textContent = words.ratingFailed);
    this.store.write("rated", [...this.#rated, conversationId].slice(-MOST_KEPT));
    const thanks = document.createElement("p");
    thanks.className = "divider";
    thanks.textContent = words.ratingThanks;
    form.replaceWith(thanks);
  }
}
