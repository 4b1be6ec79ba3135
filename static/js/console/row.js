import { setText } from "../shared/clone.js";
import { span } from "../shared/clock.js";
import { customerName, ownerLabel, ownership, shortAuthor, signalLabel } from "./names.js";

/** Fills one row of the list. `view`: {openId, place, writerIn, isGone}. */
export function fillRow(item, conversation, view) {
  const find = (part) => item.querySelector(`.row-${part}`);
  const writer = view.writerIn(conversation.id);
  item.dataset.status = conversation.status;
  item.dataset.owner = ownership(conversation, view.place);
  item.classList.toggle("is-gone", view.isGone || conversation.status !== "active");
  item.classList.toggle("is-unread", conversation.unread > 0);
  item.classList.toggle("is-writing", writer !== null);
  setText(find("name"), customerName(conversation.customer));
  setText(find("line"), writer ? writerLine(writer) : lastLine(conversation, view.place));
  setText(find("owner"), ownerWords(conversation, view.place));
  setText(find("count"), conversation.unread > 99 ? "99+" : String(conversation.unread));
  find("unread").hidden = !conversation.unread;
  fillSignals(find("signals"), conversation);
  fillWaiting(item, conversation);
  markCurrent(item.firstElementChild, conversation.id === view.openId);
}

export function fillWaiting(item, conversation) {
  const waits = conversation?.status === "active" && conversation.waiting_since != null;
  item.querySelector(".row-waiting").hidden = !waits;
  if (waits) setText(item.querySelector(".row-time"), span(Date.now() - conversation.waiting_since));
}

function writerLine({ author, name }) {
  const who = { customer: "Customer", assistant: "Assistant" }[author] ?? name ?? "Agent";
  return `${who} is writing…`;
}

function lastLine(conversation, place) {
  const line = conversation.last_message;
  return line ? `${shortAuthor(line, conversation.owner, place)}: ${line.text.slice(0, 200)}` : "No lines yet";
}

function ownerWords(conversation, place) {
  if (conversation.status !== "active") return "Closed";
  return conversation.owner_absent ? `${ownerLabel(conversation, place)} (left)` : ownerLabel(conversation, place);
}

function fillSignals(element, conversation) {
  const raised = (conversation.signals ?? []).filter((signal) => signal.cleared_at == null);
  const labels = [...new Set(raised.map(signalLabel))];
  if (element.dataset.labels === labels.join("|")) return;
  element.dataset.labels = labels.join("|");
  // A row has room for one in words; the others are counted and stand in the conversation.
  element.replaceChildren(...(labels.length ? [chip(labels[0], labels[0])] : []), ...(labels.length > 1 ? [chip(`+${labels.length - 1}`, labels.slice(1).join(", "))] : []));
}

function chip(words, title) {
  return Object.assign(document.createElement("span"), { className: "chip", textContent: words, title });
}

function markCurrent(button, isOpen) {
  if (isOpen) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}
