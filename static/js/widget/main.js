import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { Follow } from "./follow.js";
import { Host } from "./host.js";
import { LeaveEmail } from "./leave_email.js";
import { applyLook } from "./look.js";
import { Menu } from "./menu.js";
import { Notice } from "./notice.js";
import { Outbox } from "./outbox.js";
import { Rating } from "./rating.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { showSuggestions } from "./suggestions.js";
import { Transcript } from "./transcript.js";
import { OwnTyping, TypingIndicator } from "./typing.js";
import { Unread } from "./unread.js";
import { words } from "./words.js";

const widget = JSON.parse(document.getElementById("widget-data").textContent);
const prefix = `handoff:${widget.key}:`;
const store = new Store(prefix);

const status = new Status();
const notice = new Notice();
const follow = new Follow();
const typing = new TypingIndicator();
const host = new Host({ opened, closed: () => unread.closed() });
const unread = new Unread(store, (count) => host.tell("unread", { count }));
const connection = new Connection(widget.key, store, connectionChanged);
const rating = new Rating(connection, store);
const ownTyping = new OwnTyping(connection);
const composer = new Composer(new Store(prefix, () => sessionStorage), { changed: (text) => ownTyping.changed(text), send });
const leaveEmail = new LeaveEmail(connection, notice, { done: () => composer.focus() });
const menu = new Menu(connection, notice, {
  done: () => composer.focus(),
  answered: (isSomebodyHere) => (isSomebodyHere ? leaveEmail.withdraw() : leaveEmail.offer()),
});
const transcript = new Transcript(widget.assistant, {
  retry: (clientId) => outbox.retry(clientId),
  edit: (clientId) => composer.edit(outbox.take(clientId).text),
});
const conversation = new Conversation(connection, { begin, add, draft, withdraw, typing: showTyping, end, fetched });
const outbox = new Outbox(widget.key, store, connection, {
  changed: showUnsent,
  accepted: (message) => conversation.accepted(message),
});

look(widget);
showUnsent(outbox.texts);
connection.on("conversation_opened", welcomed);
connection.connect();
if (host.isAlone) opened(true);
else document.getElementById("close").hidden = false;
document.getElementById("close").addEventListener("click", () => host.tell("close"));
document.addEventListener("keydown", escape);
document.addEventListener("visibilitychange", () => document.hidden || comeBack());
addEventListener("pageshow", ({ persisted }) => persisted && comeBack());

function look(widget) {
  applyLook(widget.color ?? widget.assistant?.color, widget.line_color);
  host.tell("look", { color: widget.color ?? widget.assistant?.color });
}

function welcomed(fact) {
  if (fact.widget) look(fact.widget);
  conversation.opened(fact.conversation);
  outbox.resume();
}

function connectionChanged(state, code) {
  status.show(state, code);
  transcript.online(state === "connected", outbox.texts);
  if (state !== "connected") typing.show(false);
  if (state === "refused") composer.disable();
}

function send(text) {
  if (outbox.isFull) return void notice.show(words.outboxFull, [words.ok, () => composer.focus()]);
  ownTyping.stopped();
  outbox.add(text);
  follow.show(document.getElementById("unsent").lastElementChild);
  return true;
}

function showUnsent(texts) {
  transcript.showUnsent(texts);
  suggest();
}

function begin(id) {
  rating.withdraw();
  transcript.begin(id);
  unread.begin(id);
  menu.active(true);
  composer.placeholder(words.placeholder);
}

function add(message) {
  if (message.author !== "customer") typing.show(false);
  transcript.add(message);
  if (message.client_id) outbox.take(message.client_id);
  unread.add(message);
  if (message.author !== "customer") follow.arrived();
}

function draft(turn, text) {
  if (!transcript.hasDraft) follow.arrived();
  transcript.draft(turn, text);
  typing.show(false);
}

function withdraw() {
  transcript.withdraw();
}

function showTyping(isTyping) {
  typing.show(isTyping && !transcript.hasDraft);
}

function end(id) {
  typing.show(false);
  rating.offer(id, transcript.end());
  menu.active(false);
  leaveEmail.withdraw();
  composer.placeholder(words.placeholderEnded);
}

function fetched() {
  transcript.fetched();
  suggest();
}

function suggest() {
  showSuggestions(transcript.isEmpty && conversation.isReady ? widget.suggestions : [], send);
}

function opened(withFocus) {
  unread.opened();
  // On a touch screen the keyboard would cover what the customer came to read.
  if (withFocus && matchMedia("(pointer: fine)").matches) composer.focus();
  else if (withFocus) document.getElementById("transcript").focus();
}

function escape(event) {
  if (event.key !== "Escape" || event.isComposing || menu.close()) return;
  host.tell("close");
}

function comeBack() {
  if (connection.isConnected) conversation.catchUp();
  else connection.connect();
}
