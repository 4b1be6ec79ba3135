import { advance, judge } from "./facts.js";

/**
 * The active conversations of the watched assistant, as held here. Pure: it is told what came and says what to fetch.
 */
export class Watched {
  constructor(me) {
    this.me = me; // the member id of whoever looks
    this.filter = "all"; // what was fetched last
    this.order = "need"; // need | busiest
    this.rows = new Map();
    this.counts = null;
    this.cursor = null;
    this.kept = null; // facts that came while a fetch was under way
  }

  /** From here on facts are kept too, because the answer may be older than they are. */
  fetching() {
    this.kept = [];
  }

  /** `rows`: all pages that were fetched, in order. Facts kept since `fetching` are applied by version. */
  fetched({ rows, cursor, counts, filter = "all", order = "need" }) {
    const kept = this.kept ?? [];
    this.kept = null;
    this.filter = filter;
    this.order = order;
    this.rows = new Map(rows.map((row) => [row.id, { ...row, unread: row.unread ?? 0 }]));
    this.cursor = cursor;
    this.counts = counts;
    return kept.map(([name, fact]) => this.hear(name, fact)).includes("fetch") ? "fetch" : null;
  }

  failed() {
    this.kept = null;
  }

  /** One more page below the ones that are held. Rows that moved up meanwhile are held already, and newer. */
  more({ conversations, cursor, counts }) {
    for (const row of conversations) if (!this.rows.has(row.id)) this.rows.set(row.id, { ...row, unread: row.unread ?? 0 });
    this.cursor = cursor;
    this.counts = counts;
  }

  /** Applies a versioned fact; "fetch" when the list must be fetched again, "changed", or null. */
  hear(name, fact) {
    this.kept?.push([name, fact]);
    const held = this.rows.get(fact.conversation_id);
    if (!held) return this.meet(name, fact);
    const verdict = judge(held.version, fact.version);
    if (verdict === "old") return null;
    if (verdict === "next" || fact.conversation) this.put(held, advance(held, name, fact));
    return verdict === "gap" ? "fetch" : "changed";
  }

  /** A conversation that is not held: facts that carry it whole show it at once; the counts only a fetch knows. */
  meet(name, fact) {
    if (!fact.conversation) return this.mayMatter(name, fact) ? "fetch" : null;
    if (fact.conversation.status !== "active") return "fetch";
    const met = advance(null, name, fact);
    if (name === "conversation_opened") {
      this.put(null, met);
      return "changed";
    }
    this.rows.set(met.id, met);
    return "fetch";
  }

  /** Of the many conversations beyond the page only few facts can bring one onto it, or change a count. */
  mayMatter(name, fact) {
    const holdsAll = this.filter === "all" && this.cursor === null; // or the busiest, of whom each line may make others
    if (holdsAll || name === "signal_raised") return true;
    return this.filter === "all" && fact.message?.author === "customer";
  }

  put(before, after) {
    this.rows.set(after.id, after);
    if (!this.counts) return;
    for (const filter of Object.keys(this.counts)) {
      const step = Number(this.matches(after, filter)) - Number(before !== null && this.matches(before, filter));
      this.counts = { ...this.counts, [filter]: Math.max(0, this.counts[filter] + step) };
    }
  }

  read(id) {
    const row = this.rows.get(id);
    if (row?.unread) this.rows.set(id, { ...row, unread: 0 });
  }

  matches(conversation, filter) {
    if (conversation.status !== "active") return false;
    if (filter === "mine") return conversation.owner?.id === this.me;
    if (filter === "needs_human") return needsHuman(conversation);
    return true;
  }

  /** The rows of a filter in the chosen order; the open one stays in sight when it has just closed. */
  shown(filter, openId) {
    return [...this.rows.values()].filter((row) => this.matches(row, filter) || (row.id === openId && filter === "all")).sort(ORDERS[this.order]);
  }
}

/** Something says that a human should come; a takeover and the close settle all signals. */
export function needsHuman(conversation) {
  return (conversation.signals ?? []).some((signal) => signal.cleared_at == null);
}

const ORDERS = { need: byNeed, busiest: byLines };

/** Who needs a human, the longest first; then the newest. */
function byNeed(one, other) {
  // Infinity - Infinity is no number.
  const [since, otherSince] = [one.needed_since ?? Number.MAX_SAFE_INTEGER, other.needed_since ?? Number.MAX_SAFE_INTEGER];
  return since - otherSince || other.changed_at - one.changed_at || byId(one, other);
}

function byLines(one, other) {
  return (other.recent_lines ?? 0) - (one.recent_lines ?? 0) || byId(one, other);
}

function byId(one, other) {
  return one.id < other.id ? -1 : 1;
}
