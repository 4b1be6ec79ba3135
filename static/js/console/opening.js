import { Opened } from "./opened.js";

const RETRY = 2000;

/** Keeps the open conversation: fetches it, catches up after a gap or a reconnect, pages back, marks it read. */
export class Opening {
  constructor({ connection, onChange, onLines, onMissing }) {
    Object.assign(this, { connection, onChange, onLines, onMissing, opened: null, run: 0, timer: null, markedUpTo: 0, isPaging: false });
  }

  get id() {
    return this.opened?.id ?? null;
  }

  get isReady() {
    return this.opened?.conversation != null;
  }

  open(id) {
    this.leave();
    this.opened = new Opened(id);
    this.fetch();
  }

  leave() {
    clearTimeout(this.timer);
    this.run += 1;
    this.opened = null;
    this.markedUpTo = 0;
    this.isPaging = false;
  }

  /** The newest lines the first time, afterwards those after the last one held, until there are no more. */
  async fetch() {
    clearTimeout(this.timer);
    if (!this.opened || !this.connection.isLive) return;
    const run = ++this.run;
    const { opened } = this;
    opened.fetching();
    try {
      let answer;
      do {
        const since = opened.lastNumber;
        answer = await this.ask({ after: since });
        if (run !== this.run) return;
        opened.fetched(answer, since);
        if (since === null) break;
        this.onLines(answer.messages);
      } while (answer.more);
      this.settled(opened.settle());
    } catch (refusal) {
      if (run === this.run) this.failed(refusal);
    }
  }

  settled({ lines, fetch }) {
    this.onLines(lines);
    this.onChange();
    if (fetch) this.timer = setTimeout(() => this.fetch(), RETRY);
  }

  failed(refusal) {
    if (["not_found", "forbidden", "no_seat", "second_factor"].includes(refusal.code)) this.onMissing(refusal);
    else if (refusal.code !== "offline") this.timer = setTimeout(() => this.fetch(), RETRY);
  }

  ask({ after = null, before = null }) {
    return this.connection.ask("open_conversation", { conversation_id: this.id, after, before });
  }

  async older() {
    const { opened } = this;
    if (!opened?.more || this.isPaging || !this.connection.isLive) return;
    this.isPaging = true;
    try {
      const answer = await this.ask({ before: opened.firstNumber });
      if (opened !== this.opened) return;
      opened.older(answer);
      this.onChange();
    } catch {
      /* the button stays, and so does the wish to press it */
    } finally {
      this.isPaging = false;
    }
  }

  hear(name, fact) {
    if (fact.conversation_id !== this.id) return;
    const { changed, fetch, lines } = this.opened.hear(name, fact);
    // A close also ends the takeover, and a change may be of what is known about the customer: their facts carry neither.
    if (fetch || name === "conversation_closed" || name === "conversation_changed") this.fetch();
    if (lines.length) this.onLines(lines);
    if (changed) this.onChange();
  }

  /** The reader has the last line before their eyes. */
  async markRead() {
    const number = this.opened?.lastNumber ?? 0;
    if (number <= this.markedUpTo || !this.connection.isLive) return;
    const before = this.markedUpTo;
    this.markedUpTo = number;
    try {
      await this.connection.ask("mark_read", { conversation_id: this.id, number });
    } catch {
      this.markedUpTo = Math.min(before, this.markedUpTo);
    }
  }
}
