import { clockTime } from "../shared/clock.js";
import { fillMessage } from "../shared/message_line.js";
import { authorLabel, closedLabel, signalLabel } from "./names.js";

const SAME_BREATH = 3 * 60_000;

/** Fills the element of one item of the transcript. */
export function fillItem(element, item, opened, place) {
  FILLERS[item.kind](element, item.value, opened, place);
}

const FILLERS = { message: fillLine, send: fillSend, takeover: fillTakeover, signal: fillSignal, note: fillNote, closed: fillClosed };

function fillLine(element, message, opened, place) {
  fillMessage(element, message, authorLabel(message, opened.conversation, place));
  element.classList.toggle("is-mine", message.agent?.id === place.me);
  element.classList.toggle("is-interrupted", Boolean(message.interrupted));
  const mark = element.querySelector(".message-mark");
  mark.hidden = !message.interrupted;
  mark.textContent = message.interrupted ? "interrupted by takeover" : "";
}

const SEND_WORDS = { waiting: "Waits for the connection", sending: "Sending…", sent: "Sent" };

function fillSend(element, send) {
  fillMessage(element, { author: "agent", text: send.text, sent_at: send.written_at }, "You");
  element.classList.add("is-pending", "is-mine");
  element.dataset.clientId = send.client_id;
  element.dataset.state = send.state;
  const mark = element.querySelector(".message-mark");
  mark.hidden = false;
  mark.textContent = SEND_WORDS[send.state] ?? `Not sent: ${send.problem?.message ?? "refused"}`;
  if (send.state === "failed") mark.append(action("retry", "Retry"), action("discard", "Discard"));
}

function action(name, words) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = name;
  button.textContent = words;
  return button;
}

function fillTakeover(element, takeover, opened, place) {
  const who = takeover.member.id === place.me ? "You" : takeover.member.name;
  fillMark(element, "takeover", `${who} took over · ${clockTime(takeover.taken_at)}`);
}

function fillSignal(element, signal) {
  const over = signal.cleared_at == null ? "" : ` · settled ${clockTime(signal.cleared_at)}`;
  element.classList.toggle("is-settled", signal.cleared_at != null);
  fillMark(element, "signal", `${signalLabel(signal)} · ${clockTime(signal.raised_at)}${over}`, signal.reason);
}

function fillNote(element, note, opened, place) {
  const who = note.member.id === place.me ? "you" : note.member.name;
  fillMark(element, "note", `Note by ${who}, for your team only · ${clockTime(note.written_at)}`, note.text);
}

function fillClosed(element, conversation, opened) {
  const note = opened.takeovers.at(-1)?.note;
  fillMark(element, "closed", closedLabel(conversation), note);
}

function fillMark(element, kind, title, text) {
  element.dataset.kind = kind;
  element.querySelector(".mark-title").textContent = title;
  const body = element.querySelector(".mark-text");
  body.hidden = !text;
  body.textContent = text ?? "";
}

/** Lines of one author in one breath share a head. Done over the whole list: a line may come in between. */
export function regroup(lines) {
  let before = null;
  for (const line of lines.children) {
    const isMessage = line.classList.contains("message");
    line.classList.toggle("is-continued", isMessage && before !== null && continues(before, line));
    before = isMessage ? line : null;
  }
}

function continues(before, line) {
  const [one, other] = [before, line].map((element) => ({
    author: element.querySelector(".message-author").textContent,
    at: Date.parse(element.querySelector(".message-time").dateTime),
  }));
  return one.author === other.author && other.at - one.at < SAME_BREATH && !before.classList.contains("is-interrupted");
}
