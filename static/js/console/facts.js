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
  if (fact.conversation) return { ...fact.conversation, unread: fact.conversation.unread ?? conversation?.unread ?? 0, version: fact.version };
  const next = { ...conversation, version: fact.version };
  if (name === "message_posted") return withMessage(next, fact.message);
  if (name === "signal_raised") return { ...next, signals: withId(next.signals, fact.signal) };
  return next;
}

/** What a new last line means: a customer's waits for an answer, anybody else's whole line is one. */
function withMessage(conversation, message) {
  const next = { ...conversation, last_number: message.number, last_message: message, changed_at: message.sent_at };
  if (message.author === "customer") {
    next.unread = (conversation.unread ?? 0) + 1;
    next.waiting_since = conversation.waiting_since ?? message.sent_at;
  } else if (!message.interrupted) {
    next.waiting_since = null;
  }
  return next;
}

/** A list with `item` in place of the one of the same id, or at the end. */
export function withId(list, item) {
  const kept = (list ?? []).filter((one) => one.id !== item.id);
  return [...kept, item];
}
