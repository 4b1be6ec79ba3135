/** What people and things are called on screen. `place` = {me, assistant}: my member id and the watched assistant. */

export function customerName(customer) {
  return customer?.name || `Customer ${String(customer?.id ?? "").slice(-4)}`.trim();
}

export function authorLabel(message, conversation, place) {
  if (message.author === "customer") return customerName(conversation.customer);
  if (message.author === "assistant") return place.assistant.name;
  return message.agent?.id === place.me ? "You" : (message.agent?.name ?? "Agent");
}

/** "assistant", "mine" or "other": who answers, seen from here. */
export function ownership(conversation, place) {
  if (!conversation.owner) return "assistant";
  return conversation.owner.id === place.me ? "mine" : "other";
}

export function ownerLabel(conversation, place) {
  return { assistant: "Assistant", mine: "You", other: conversation.owner?.name ?? "" }[ownership(conversation, place)];
}

/** The author before a row's last line. */
export function shortAuthor(message, owner, place) {
  if (message.author === "customer") return "Customer";
  if (message.author === "assistant") return "Assistant";
  const agent = message.agent ?? owner; // a row's last line comes without its agent; only the owner can have written it
  return agent?.id === place.me ? "You" : (agent?.name ?? "Agent");
}

const SIGNALS = {
  asked_for_human: "Asked for a human",
  no_answer: "No answer found",
  assistant_failed: "Assistant failed",
  phrase: "Said one of your phrases",
  waiting: "No answer yet",
  repeating: "Asks again",
};

/** A kind that this page does not know yet still reads as words. */
export function signalLabel(signal) {
  const words = String(signal.kind ?? "signal").replaceAll("_", " ");
  return SIGNALS[signal.kind] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

/** The label in a row's few words: of a phrase, what was said. */
export function signalWords(signal) {
  const said = signal.kind === "phrase" && /“.+”/.exec(signal.reason)?.[0];
  return said ? `Said ${said}` : signalLabel(signal);
}

const CLOSERS = { agent: "by an agent", customer: "by the customer", age: "after a long silence" };

export function closedLabel(conversation) {
  const by = conversation.closed_by === "agent" && conversation.owner ? `by ${conversation.owner.name}` : (CLOSERS[conversation.closed_by] ?? "");
  const outcome = conversation.outcome ? ` · ${conversation.outcome.name}` : "";
  return `Closed ${by}`.trim() + outcome;
}
