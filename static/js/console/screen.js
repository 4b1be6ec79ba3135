import { setText } from "../shared/clone.js";
import { showDetails, showHead } from "./head.js";
import { showNeed } from "./notices/icon.js";

const FRAME = 16;
const part = (id) => document.getElementById(id);

const EMPTY = {
  all: ["No active conversations", "New ones appear here by themselves, as soon as a customer writes."],
  needs_human: ["Nobody needs a human right now", "Conversations come here when a customer asks for a person, says one of your phrases or waits too long, and when the assistant has no answer."],
  mine: ["You have no conversations", "Open one and take it over; it stays here until it closes."],
  busiest: ["Nothing was said in the last five minutes", "Choose “Most in need first” to see every active conversation."],
  suspended: ["You have no conversations left", "With a seat you can take new ones over."],
};

/** Draws what the desk holds, at most once a frame, and knows which of the views is in front. */
export class Screen {
  constructor(desk) {
    this.desk = desk;
    this.timer = null;
    this.wantsComposer = false;
    this.isStale = true;
    this.main = part("main");
    part("show-details").addEventListener("click", () => this.toggleDetails());
    document.querySelector(".skip-link").addEventListener("click", (event) => this.skip(event));
    setInterval(() => this.desk.list.tick(), 1000);
  }

  /** A timer and not a frame: a tab in the background gets no frames, and its title has to tell. */
  changed() {
    this.isStale = true; // the open conversation too
    this.listChanged();
  }

  /** Most facts are about conversations that are not open; they leave the transcript alone. */
  listChanged() {
    this.timer ??= setTimeout(() => this.draw(), FRAME);
  }

  draw() {
    clearTimeout(this.timer);
    this.timer = null;
    this.drawList();
    if (this.isStale) this.drawConversation();
    this.isStale = false;
  }

  drawList() {
    const { watching, opening, place, typing } = this.desk;
    const { watched, filter } = watching;
    if (!watching.assistant) return;
    if (this.isReading()) watched.read(opening.id);
    const rows = watched.shown(filter, opening.id);
    this.desk.list.render(rows, watched.rows, { openId: opening.id, place, writerIn: (id) => typing.in(id) });
    this.drawCounts(watched.counts);
    this.drawEmpty(rows.length === 0, filter);
    part("more-conversations").hidden = !watched.cursor;
  }

  drawCounts(counts) {
    for (const element of document.querySelectorAll("[data-count]")) setText(element, counts ? String(counts[element.dataset.count] ?? "") : "");
    showNeed(counts?.needs_human ?? 0);
  }

  drawEmpty(isEmpty, filter) {
    const { order } = this.desk.watching;
    const which = order === "busiest" && filter === "all" ? order : filter;
    const words = this.desk.team.seat === "suspended" ? EMPTY.suspended : EMPTY[which];
    const [title, text] = this.desk.watching.state === "watching" ? words : ["Fetching conversations…", ""];
    part("list-empty").hidden = !isEmpty;
    setText(part("list-empty").querySelector(".empty-title"), title);
    setText(part("list-empty").querySelector(".empty-text"), text);
  }

  drawConversation() {
    const { opening, outbox, transcript, place, typing, foot } = this.desk;
    const { opened } = opening;
    if (!opened) return this.drawNothing();
    if (!opening.isReady) return;
    // Its facts go to another room, so it would stand still here.
    if (opened.conversation.assistant_id !== place.assistant.id) return this.missing();
    part("conversation").dataset.state = "open";
    if (transcript.isAtBottom) opened.trim();
    outbox.settle(opened.id, opened.messages);
    showHead(opened.conversation, place);
    showDetails(opened, place);
    foot.show(opened.conversation, place);
    transcript.render(opened, { place, sends: outbox.of(opened.id), writer: typing.in(opened.id) });
    if (this.wantsComposer) this.focusComposer();
    this.seen();
  }

  drawNothing() {
    this.nothing("No conversation is open", "Pick one from the list to read along. Opening it does not take it over.");
    this.desk.foot.show(null);
  }

  nothing(title, text) {
    setText(part("nothing-open").querySelector(".empty-title"), title);
    setText(part("nothing-open").querySelector(".empty-text"), text);
  }

  // --- which view ---

  showDesk() {
    for (const notice of ["no-seat", "no-assistants"]) part(notice).hidden = true;
    this.main.dataset.view = this.desk.opening.id ? "conversation" : "list";
  }

  turned() {
    const { id } = this.desk.opening;
    const section = part("conversation");
    section.dataset.state = id ? "opening" : "none";
    section.dataset.conversationId = id ?? "";
    section.classList.remove("shows-details");
    part("show-details").setAttribute("aria-expanded", "false");
    if (this.main.dataset.view !== "notice") this.main.dataset.view = id ? "conversation" : "list";
    this.wantsComposer = false;
    this.drawOpening(id);
    this.isStale = true;
    this.draw();
  }

  /** What the list knows already is on screen before the server has answered. */
  drawOpening(id) {
    const { watching, place, foot } = this.desk;
    if (!id) return;
    showHead(watching.watched.rows.get(id) ?? null, place);
    foot.show(null);
  }

  missing() {
    part("conversation").dataset.state = "missing";
    showHead(null, this.desk.place);
    setText(part("answered-by"), "");
    this.nothing("This conversation is not here", "It may belong to another assistant, or the address is wrong.");
    this.desk.foot.show(null);
  }

  notice(id) {
    for (const other of ["no-seat", "no-assistants"]) part(other).hidden = other !== id;
    this.main.dataset.view = "notice";
    showNeed(0); // of what is no longer watched nothing is known
  }

  isNotice(id) {
    return this.main.dataset.view === "notice" && !part(id).hidden;
  }

  noAssistants() {
    this.notice("no-assistants");
  }

  toggleDetails() {
    const isShown = part("conversation").classList.toggle("shows-details");
    part("show-details").setAttribute("aria-expanded", String(isShown));
  }

  skip(event) {
    event.preventDefault(); // its fragment would take the place of the route
    this.main.focus();
  }

  // --- reading ---

  isReading() {
    const inSight = document.visibilityState === "visible" && part("conversation").offsetParent !== null;
    return inSight && this.desk.opening.isReady && this.desk.transcript.isAtBottom;
  }

  seen() {
    if (!this.isReading()) return;
    this.desk.opening.markRead();
    if (this.desk.watching.watched.rows.get(this.desk.opening.id)?.unread) this.listChanged();
  }

  /** After my own takeover the button under my hands is gone; the composer stands in its place. */
  focusComposerOnce() {
    this.wantsComposer = true;
    this.changed();
  }

  focusComposer() {
    if (part("composer").hidden) return;
    this.wantsComposer = false;
    const { activeElement } = document;
    if (activeElement === document.body || activeElement === part("take-over")) this.desk.composer.focus();
  }
}
