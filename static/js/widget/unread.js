/** How many lines of the other side came while the chat was closed; kept, so that the next page knows it too. */
export class Unread {
  #conversation = null;
  #last = 0;
  #count = 0;
  #isOpen = false;

  constructor(store, changed) {
    this.store = store;
    this.changed = changed;
  }

  begin(conversationId) {
    this.#conversation = conversationId;
    this.#last = 0;
  }

  add({ number, author }) {
    this.#last = number;
    const seen = this.store.read("seen");
    if (seen?.conversation === this.#conversation && number <= seen.number) return;
    if (author !== "customer") this.#count += 1;
    if (this.#isOpen) this.#see();
    else this.changed(this.#count);
  }

  opened() {
    this.#isOpen = true;
    this.#see();
  }

  closed() {
    this.#isOpen = false;
  }

  #see() {
    this.#count = 0;
    if (this.#last) this.store.write("seen", { conversation: this.#conversation, number: this.#last });
    this.changed(0);
  }
}
