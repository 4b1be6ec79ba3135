const MOST_EARLY = 500;

/**
 * The numbering of one conversation's messages: hands them on in the order 1..n, each once, whatever order they come in.
 */
export class Sequence {
  #early = new Map();

  constructor(id = null) {
    this.id = id;
    this.last = 0;
  }

  /** Returns the messages that are due now, in order. */
  offer(message) {
    if (message.number <= this.last) return [];
    if (this.#early.size < MOST_EARLY) this.#early.set(message.number, message);
    const due = [];
    while (this.#early.has(this.last + 1)) {
      due.push(this.#early.get(++this.last));
      this.#early.delete(this.last);
    }
    return due;
  }

  /** True when a later message is here and an earlier one is not. */
  get hasGap() {
    return this.#early.size > 0;
  }
}
