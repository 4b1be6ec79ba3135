import { setText } from "../shared/clone.js";
import { clockTime, span } from "../shared/clock.js";
import { customerName, ownerLabel, ownership, shortAuthor, signalLabel, signalWords } from "./names.js";

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
  fillSpan(item.querySelector(".row-waiting"), item.querySelector(".row-time"), conversation, conversation?.waiting_since);
  fillSpan(item.querySelector(".row-since"), item.querySelector(".row-needed"), conversation, conversation?.needed_since);
}

function fillSpan(element, time, conversation, since) {
  const counts = conversation?.status === "active" && since != null;
  element.hidden = !counts;
  if (counts) setText(time, span(Date.now() - since));
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
  const key = raised.map((signal) => signal.id).join("|");
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  const [first, ...others] = raised;
  // A row has room for one in words; the others are counted and stand in the conversation.
  element.replaceChildren(...(first ? [chip(signalWords(first), why(first))] : []), ...(others.length ? [chip(`+${others.length}`, others.map(why).join(" "))] : []));
}

function why(signal) {
  return `${clockTime(signal.raised_at)}: ${signal.reason || signalLabel(signal)}`;
}

function chip(words, title) {
  return Object.assign(document.createElement("span"), { className: "chip", textContent: words, title });
}

function markCurrent(button, isOpen) {
  if (isOpen) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}
