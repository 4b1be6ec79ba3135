import { Watched } from "./watched.js";

const SOON = 250;
const APART = 2000;
const LATER = 3000;
const GROWS_OLD = 15_000; // what was busy is so no more, and no fact says it

/** Keeps the list of one assistant: fetches it, fetches it again when facts leave a gap, and pages on. */
export class Watching {
  constructor({ connection, onChange, onListed, onRefused }) {
    Object.assign(this, { connection, onChange, onListed, onRefused, assistant: null, filter: "all", order: "need", pages: 1, run: 0, timer: null, fetchedAt: 0 });
    this.watched = new Watched(null);
    this.state = "idle"; // idle | fetching | watching
  }

  async start(assistant, me, filter, order) {
    const former = this.assistant;
    this.stop();
    Object.assign(this, { assistant, filter, order, pages: 1, watched: new Watched(me) });
    if (former && former.id !== assistant.id) this.connection.ask("unwatch", { assistant_id: former.id }).catch(() => {});
    await this.fetch();
  }

  stop() {
    clearTimeout(this.timer);
    this.run += 1;
    this.assistant = null;
    this.state = "idle";
  }

  show(filter, order) {
    this.filter = filter;
    this.order = order;
    this.pages = 1;
    this.fetch();
  }

  /** Called on every connect too: a new connection watches nothing. */
  async fetch() {
    clearTimeout(this.timer);
    if (!this.assistant || !this.connection.isLive) return;
    const run = ++this.run;
    this.fetchedAt = Date.now();
    this.state = this.state === "watching" ? "watching" : "fetching";
    this.watched.fetching();
    this.onChange();
    try {
      const all = await this.allPages(() => run === this.run);
      if (run !== this.run) return;
      this.state = "watching";
      if (this.order === "busiest") this.timer = setTimeout(() => this.fetch(), GROWS_OLD);
      if (this.watched.fetched(all) === "fetch") this.fetchSoon();
      this.onListed(all.rows);
      this.onChange();
    } catch (refusal) {
      if (run === this.run) this.failed(refusal);
    }
  }

  /** As many pages as the agent has called up, so that a fetch never takes rows away. */
  async allPages(isCurrent) {
    const { filter, order } = this;
    let page = await this.page(null);
    const rows = [...page.conversations];
    for (let count = 1; count < this.pages && page.cursor && isCurrent(); count += 1) {
      page = await this.page(page.cursor);
      rows.push(...page.conversations);
    }
    return { rows, cursor: page.cursor, counts: page.counts, filter, order };
  }

  page(cursor) {
    return this.connection.ask("watch", { assistant_id: this.assistant.id, filter: this.filter, order: this.order, search: "", cursor });
  }

  async more() {
    const { watched, run } = this;
    const page = await this.page(watched.cursor);
    if (run !== this.run) return;
    this.pages += 1;
    watched.more(page);
    this.onChange();
  }

  failed(refusal) {
    this.watched.failed();
    if (["no_seat", "second_factor", "not_found", "forbidden"].includes(refusal.code)) this.onRefused(refusal);
    else if (refusal.code !== "offline") this.timer = setTimeout(() => this.fetch(), LATER * (0.75 + Math.random() / 2));
  }

  /** Many facts may leave a gap at once; one fetch mends them all, and a busy team is no reason to fetch without a pause. */
  fetchSoon() {
    clearTimeout(this.timer);
    const pause = Math.max(0, this.fetchedAt + APART - Date.now());
    this.timer = setTimeout(() => this.fetch(), pause + SOON + Math.random() * SOON);
  }

  hear(name, fact) {
    if (fact.assistant_id !== this.assistant?.id) return;
    if (this.watched.hear(name, fact) === "fetch" && this.state === "watching") this.fetchSoon();
    this.onChange();
  }
}
