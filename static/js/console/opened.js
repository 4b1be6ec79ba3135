import { advance, judge, settledBy, withId } from "./facts.js";

const HELD_LINES = 1000;

/**
 * The open conversation, as held here. Pure: it is told what came and says what to fetch.
 *
 * Facts that come while a fetch is under way are kept and applied after its answer, in the order they came.
 */
export class Opened {
  constructor(id) {
    this.id = id;
    this.conversation = null;
    this.customer = null;
    this.messages = [];
    this.takeovers = [];
    this.signals = [];
    this.notes = [];
    this.draft = null; // {turn, text, fetched}
    this.more = false; // older lines exist
    this.endedTurns = new Set();
    this.kept = [];
  }

  get firstNumber() {
    return this.messages[0]?.number ?? null;
  }

  get lastNumber() {
    return this.messages.at(-1)?.number ?? null;
  }

  fetching() {
    this.kept ??= [];
  }

  /** The answer to a fetch of the newest lines (`since` null) or of those after the last held one. */
  fetched(answer, since) {
    this.conversation = { ...answer.conversation, unread: answer.conversation.unread ?? 0 };
    this.customer = answer.customer ?? this.customer;
    for (const list of ["takeovers", "signals", "notes"]) for (const item of answer[list] ?? []) this[list] = withId(this[list], item);
    if (since === null) {
      this.messages = answer.messages;
      this.more = answer.more;
    } else {
      for (const message of answer.messages) this.add(message);
    }
    this.draft = null;
    if (answer.draft) this.grow(answer.draft, true);
  }

  /** After the last fetch: what was kept, in order. Gives the lines that are new to a reader and what to do next. */
  settle() {
    const kept = this.kept ?? [];
    this.kept = null;
    const heard = kept.map(([name, fact]) => this.hear(name, fact));
    return { lines: heard.flatMap((one) => one.lines), fetch: heard.some((one) => one.fetch) };
  }

  older(answer) {
    const first = this.firstNumber ?? Infinity;
    this.messages = [...answer.messages.filter((message) => message.number < first), ...this.messages];
    for (const list of ["takeovers", "signals", "notes"]) for (const item of answer[list] ?? []) if (!this[list].some((held) => held.id === item.id)) this[list] = [...this[list], item];
    this.more = answer.more;
  }

  /** One fact. `changed`: something to show; `fetch`: a gap; `lines`: messages that just appeared. */
  hear(name, fact) {
    if (this.kept) {
      this.kept.push([name, fact]);
      return { changed: false, fetch: false, lines: [] };
    }
    if (name === "draft_changed") return quiet(this.grow(fact, false));
    if (name === "draft_withdrawn") return quiet(this.withdraw(fact.turn));
    return this.hearVersioned(name, fact);
  }

  hearVersioned(name, fact) {
    const verdict = judge(this.conversation.version, fact.version);
    const endsDraft = name === "conversation_taken_over" || (name === "message_posted" && fact.message.author === "assistant");
    // A line that we know already still ends the draft that came before it, unless that draft is younger: it came with the fetch.
    if (endsDraft && !(verdict === "old" && this.draft?.fetched)) this.endDraft();
    if (verdict === "old") return quiet(endsDraft);
    if (verdict === "gap") return { changed: false, fetch: true, lines: [] };
    this.conversation = advance(this.conversation, name, fact);
    if (fact.takeover) this.takenOver(fact.takeover);
    if (fact.message) this.signals = this.signals.map((signal) => settledBy(fact.message, signal));
    if (name === "conversation_closed") this.settleSignals(fact.conversation.changed_at);
    if (fact.signal) this.signals = withId(this.signals, fact.signal);
    if (fact.note) this.notes = withId(this.notes, fact.note);
    const isNew = name === "message_posted" && this.add(fact.message);
    return { changed: true, fetch: false, lines: isNew ? [fact.message] : [] };
  }

  /** A takeover answers the signals that stood. */
  takenOver(takeover) {
    this.takeovers = withId(this.takeovers, takeover);
    this.settleSignals(takeover.taken_at);
  }

  settleSignals(at) {
    this.signals = this.signals.map((signal) => ({ ...signal, cleared_at: signal.cleared_at ?? at }));
  }

  add(message) {
    if (message.number <= (this.lastNumber ?? 0)) return false;
    this.messages = [...this.messages, message];
    return true;
  }

  /** Keeps a tab that stays open for days small: older lines can be fetched again. */
  trim() {
    if (this.messages.length <= HELD_LINES) return;
    this.messages = this.messages.slice(-HELD_LINES / 2);
    this.more = true;
  }

  grow({ turn, text }, fetched) {
    if (this.endedTurns.has(turn) || this.conversation.owner || this.conversation.status !== "active") return false;
    if (this.draft?.turn === turn && this.draft.text.length >= text.length) return false;
    this.draft = { turn, text, fetched };
    return true;
  }

  withdraw(turn) {
    this.endedTurns.add(turn);
    if (this.draft?.turn !== turn) return false;
    this.draft = null;
    return true;
  }

  endDraft() {
    if (this.draft) this.withdraw(this.draft.turn);
  }
}

function quiet(changed) {
  return { changed, fetch: false, lines: [] };
}
