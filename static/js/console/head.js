import { setText } from "../shared/clone.js";
import { clockTime } from "../shared/clock.js";
import { closedLabel, customerName, ownership, signalLabel } from "./names.js";

const part = (id) => document.getElementById(id);

/** The head of the open conversation: whose it is, who answers. */
export function showHead(conversation, place) {
  setText(part("customer-name"), conversation ? customerName(conversation.customer) : "");
  part("customer-name").title = conversation ? customerName(conversation.customer) : "";
  setText(part("answered-by"), conversation ? answeredBy(conversation, place) : "Opening…");
  part("close-conversation").hidden = !conversation || conversation.status !== "active" || ownership(conversation, place) !== "mine";
}

function answeredBy(conversation, place) {
  if (conversation.status !== "active") return closedLabel(conversation);
  const whose = ownership(conversation, place);
  if (whose === "assistant") return `Assistant ${place.assistant.name} answers`;
  if (whose === "mine") return "You answer";
  return conversation.owner_absent ? `${conversation.owner.name} had it, and is no longer an agent` : `${conversation.owner.name} answers`;
}

/** The column, or on narrow screens the sheet, with what is known about the customer. */
export function showDetails({ conversation, customer, takeovers, signals }, place) {
  fillTerms(part("details-customer"), [
    ["Name", customerName(customer ?? conversation.customer)],
    ["E-mail", customer?.email],
    ...remembered(customer ?? undefined),
    ["First seen", customer?.first_seen_at && clockTime(customer.first_seen_at)],
  ]);
  fillTerms(part("details-conversation"), [
    ["Began", clockTime(conversation.opened_at)],
    ["Status", conversation.status === "active" ? "Active" : closedLabel(conversation)],
    ["Wants a human because", signals.filter((signal) => signal.cleared_at == null).map(signalLabel).join(", ")],
    ...takeovers.map((takeover) => ["Taken over", takeoverWords(takeover, place)]),
  ]);
}

/** What the assistant noted of what the customer told it. */
function remembered({ name, email, remembered } = {}) {
  const shown = [name, email];
  return Object.entries(remembered ?? {})
    .filter(([, value]) => !shown.includes(value))
    .map(([term, value]) => [term.charAt(0).toUpperCase() + term.slice(1), value]);
}

function takeoverWords(takeover, place) {
  const who = takeover.member.id === place.me ? "You" : takeover.member.name;
  return `${who}, ${clockTime(takeover.taken_at)}`;
}

function fillTerms(list, pairs) {
  const known = pairs.filter(([, value]) => value);
  const key = JSON.stringify(known);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...known.flatMap(([term, value]) => [element("dt", term), element("dd", value)]));
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
