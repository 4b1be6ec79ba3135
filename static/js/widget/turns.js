const MOST_ENDED = 50;

/** The running turn and the ended ones: an ended turn's drafts come too late to be shown. */
export class Turns {
  #ended = new Set();
  running = null;

  /** Whether a draft of this turn may be shown; it is then the running one. */
  accept(turn) {
    if (this.#ended.has(turn)) return false;
    if (this.running && this.running !== turn) this.end();
    this.running = turn;
    return true;
  }

  end(turn = this.running) {
    if (turn === null) return;
    this.#ended.add(turn);
    if (this.#ended.size > MOST_ENDED) this.#ended.delete(this.#ended.values().next().value);
    if (turn === this.running) this.running = null;
  }
}
