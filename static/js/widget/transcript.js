import { Draft } from "./draft.js";
import { words } from "./words.js";

const NEW_MOMENT = 30 * 60 * 1000;
const byId = (id) => document.getElementById(id);
const clone = (id) => byId(id).content.firstElementChild.cloneNode(true);

/**
 * The lines on the screen. Stored lines stand in their conversation's section in number order; below them the customer's
 * own unsent ones, then the turn in the making.
 */
export class Transcript {
  #conversation = null;
  #draft = null;
  #before = null;
  #unsent = new Map();
  #isOnline = true;

  constructor(assistant, { retry, edit }) {
    this.assistant = assistant;
    this.retry = retry;
    this.edit = edit;
    this.root = byId("transcript");
    this.root.setAttribute("aria-busy", "true");
  }

  get isEmpty() {
    return !document.querySelector("#conversations .message") && this.#unsent.size === 0;
  }

  begin(id) {
    this.#conversation = clone("conversation-template");
    this.#conversation.dataset.conversation = id;
    this.#before = null;
    byId("conversations").append(this.#conversation);
  }

  /** Adds a stored line; a line of the other side takes the place of the draft. */
  add(message) {
    const element = this.#line(message.author, message.agent?.name);
    element.dataset.number = message.number;
    this.#fill(element, message);
    if (message.author === "customer") this.#settle(element, message.client_id);
    else if (this.#draft) this.#replaceDraft(element);
    this.#markMoment(message);
    this.#conversation.querySelector(".messages").append(element);
    this.#before = message;
  }

  draft(turn, text) {
    if (this.#draft?.turn !== turn) {
      this.withdraw();
      this.#draft = new Draft(turn);
      byId("turn").append(this.#draft.element);
    }
    this.#draft.change(text);
  }

  withdraw() {
    this.#draft?.remove();
    this.#draft = null;
  }

  get hasDraft() {
    return this.#draft !== null;
  }

  /** Ends the conversation; returns the place for what stands under its last line. */
  end() {
    this.withdraw();
    this.#conversation.dataset.status = "closed";
    const divider = document.createElement("p");
    divider.className = "divider";
    divider.textContent = words.ended;
    const ending = this.#conversation.querySelector(".ending");
    ending.append(divider);
    return ending;
  }

  /** The first history is there: from now on new lines are read out. */
  fetched() {
    this.root.removeAttribute("aria-busy");
    requestAnimationFrame(() => this.root.setAttribute("aria-live", "polite"));
  }

  /** Shows the unsent texts as they now are; lines that stay keep their element. */
  showUnsent(texts) {
    const ids = new Set(texts.map((text) => text.client_id));
    for (const [id, element] of this.#unsent) if (!ids.has(id)) this.#dropUnsent(id, element);
    for (const text of texts) {
      if (!this.#unsent.has(text.client_id)) this.#unsent.set(text.client_id, this.#unsentLine(text));
      const element = this.#unsent.get(text.client_id);
      byId("unsent").append(element);
      this.#mark(element, text);
    }
  }

  /** Whether unsent lines are being sent or waiting for a connection. */
  online(isOnline, texts) {
    this.#isOnline = isOnline;
    this.showUnsent(texts);
  }

  #line(author, agentName) {
    const element = clone("message-template");
    element.dataset.author = author;
    const name = author === "customer" ? words.you : (agentName ?? this.assistant.name);
    element.querySelector(".message-author").textContent = name;
    // Only an announced agent has a name here; from then on it must be plain who says what.
    if (agentName) this.#conversation.classList.add("with-agent");
    return element;
  }

  #fill(element, { author, agent, text, html }) {
    const body = element.querySelector(".message-text");
    if (html === null || html === undefined) body.textContent = text;
    else body.innerHTML = html;
    body.classList.toggle("rendered", Boolean(html));
    const before = this.#before;
    element.classList.toggle("continues", before?.author === author && before?.agent?.name === agent?.name);
  }

  #unsentLine(text) {
    const element = this.#line("customer");
    element.dataset.clientId = text.client_id;
    element.querySelector(".message-text").textContent = text.text;
    element.querySelector("button").addEventListener("click", () => this.#act(element));
    return element;
  }

  #settle(element, clientId) {
    element.dataset.mark = "sent";
    element.querySelector(".message-mark span").textContent = words.unsent.sent;
    element.querySelector(".message-mark").hidden = false;
    if (!clientId) return;
    element.dataset.clientId = clientId;
    const unsent = this.#unsent.get(clientId);
    if (unsent) this.#dropUnsent(clientId, unsent, element);
  }

  #replaceDraft(element) {
    element.classList.add("was-shown");
    this.withdraw();
  }

  #dropUnsent(id, unsent, replacement) {
    replacement?.classList.add("was-shown");
    this.#unsent.delete(id);
    unsent.remove();
  }

  #mark(element, { mark, code }) {
    element.dataset.mark = mark;
    const line = element.querySelector(".message-mark");
    const waits = mark === "pending" && !this.#isOnline;
    element.classList.toggle("is-waiting", waits);
    setText(line.querySelector("span"), waits ? words.waiting : (words.refused[code] ?? words.unsent[mark]));
    line.hidden = false;
    if (mark === "failed") line.setAttribute("role", "status");
    const isFinal = code === "invalid" || code === "too_large";
    const button = line.querySelector("button");
    button.dataset.action = isFinal ? "edit" : "retry";
    setText(button, isFinal ? words.edit : mark === "late" ? words.retryNow : words.retry);
    button.hidden = mark === "pending" || (mark === "late" && !this.#isOnline);
  }

  #act(element) {
    const { clientId } = element.dataset;
    if (element.querySelector("button").dataset.action === "edit") this.edit(clientId);
    else this.retry(clientId);
  }

  #markMoment({ sent_at }) {
    if (this.#before && sent_at - this.#before.sent_at < NEW_MOMENT) return;
    const moment = document.createElement("p");
    moment.className = "moment";
    const time = moment.appendChild(document.createElement("time"));
    time.dateTime = new Date(sent_at).toISOString();
    time.textContent = momentOf(new Date(sent_at));
    this.#conversation.querySelector(".messages").append(moment);
  }
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function momentOf(date) {
  const language = document.documentElement.lang || undefined;
  const time = new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(date);
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short" }).format(date)}, ${time}`;
}
