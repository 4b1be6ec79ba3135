/**
 * How a conversation moves by facts. Pure: no page, no socket, no clock.
 *
 * A conversation's version grows by exactly 1 with each fact, so a held version tells what to do with the next one.
 */

/** The facts that carry a version of their own; typing and drafts don't. */
export const VERSIONED = [
  "conversation_opened",
  "conversation_changed",
  "message_posted",
  "conversation_taken_over",
  "signal_raised",
  "note_added",
  "conversation_closed",
];

/** "next": apply it. "old": known already, ignore. "gap": something was missed, fetch again. */
export function judge(held, version) {
  if (version <= held) return "old";
  return version === held + 1 ? "next" : "gap";
}

/** The conversation after one fact. `unread` is this agent's own count: facts come with null, so the held one stays. */
export function advance(conversation, name, fact) {
  if (fact.conversation) return { ...fact.conversation, ...ownCounts(fact.conversation, conversation), version: fact.version };
  const next = { ...conversation, version: fact.version };
  if (name === "message_posted") return withMessage(next, fact.message);
  if (name === "signal_raised") return withSignals(next, withId(next.signals, fact.signal));
  return next;
}

/** What facts, which are the same for all, do not tell. */
function ownCounts(fresh, held) {
  return { unread: fresh.unread ?? held?.unread ?? 0, recent_lines: fresh.recent_lines ?? held?.recent_lines ?? 0 };
}

/** What a new last line means: a customer's waits for an answer, anybody else's whole line is one. */
function withMessage(conversation, message) {
  const next = { ...conversation, last_number: message.number, last_message: message, changed_at: message.sent_at };
  next.recent_lines = (conversation.recent_lines ?? 0) + 1;
  if (message.author === "customer") {
    next.unread = (conversation.unread ?? 0) + 1;
    next.waiting_since = conversation.waiting_since ?? message.sent_at;
  } else if (!message.interrupted) {
    next.waiting_since = null;
    return withSignals(next, (next.signals ?? []).map((signal) => settledBy(message, signal)));
  }
  return next;
}

/** An answer settles that somebody waited for one; the other signals stand until a takeover or the close. */
export function settledBy(message, signal) {
  const isAnswer = message.author !== "customer" && !message.interrupted;
  return isAnswer && signal.kind === "waiting" && signal.cleared_at == null ? { ...signal, cleared_at: message.sent_at } : signal;
}

function withSignals(conversation, signals) {
  const standing = signals.filter((signal) => signal.cleared_at == null);
  return { ...conversation, signals: standing, needed_since: standing.length ? Math.min(...standing.map((signal) => signal.raised_at)) : null };
}

/** A list with `item` in place of the one of the same id, or at the end. */
export function withId(list, item) {
  const kept = (list ?? []).filter((one) => one.id !== item.id);
  return [...kept, item];
}
