import { clone, setText } from "../shared/clone.js";
import { GrowingText } from "../shared/growing_text.js";
import { fillMessage } from "../shared/message_line.js";
import { itemsOf } from "./transcript_items.js";
import { fillItem, regroup } from "./transcript_item.js";

const NEAR = 48;

/**
 * The lines of the open conversation with what stands between them, the running draft and my unsent lines. It follows the
 * newest line only when the reader is there already; otherwise a button says that something came.
 */
export class Transcript {
  constructor({ scroller, onOlder, onSeen, onRetry, onDiscard }) {
    Object.assign(this, { scroller, onOlder, onSeen, items: new Map(), draft: null, isAtBottom: true, unseen: 0, firstKey: null });
    this.lines = scroller.querySelector("#lines");
    this.older = scroller.querySelector("#older");
    this.typing = scroller.querySelector("#typing");
    this.jump = document.getElementById("new-messages");
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.older.addEventListener("click", onOlder);
    this.jump.addEventListener("click", () => this.toBottom());
    this.lines.addEventListener("click", (event) => {
      const id = event.target.closest("[data-client-id]")?.dataset.clientId;
      if (event.target.closest(".retry")) onRetry(id);
      if (event.target.closest(".discard")) onDiscard(id);
    });
    // Also when the window, the composer or a draft changes the height.
    const observer = new ResizeObserver(() => this.follow());
    observer.observe(this.lines);
    observer.observe(scroller);
  }

  clear() {
    this.draft?.text.stop();
    this.draft = null;
    this.items.clear();
    this.lines.replaceChildren();
    Object.assign(this, { isAtBottom: true, unseen: 0, firstKey: null });
    this.older.hidden = true;
    this.typing.hidden = true;
    this.showJump();
  }

  render(opened, { place, sends, writer }) {
    const height = this.scroller.scrollHeight;
    const items = itemsOf(opened, sends);
    const isOlder = this.firstKey !== null && items.length > 0 && items[0].key !== this.firstKey;
    this.reuseDraft(items, opened);
    if (this.put(items, opened, place)) regroup(this.lines);
    this.showDraft(opened, place);
    this.showTyping(opened, writer, place);
    this.older.hidden = !opened.more;
    this.firstKey = items[0]?.key ?? null;
    if (isOlder && !this.isAtBottom) this.scroller.scrollTop += this.scroller.scrollHeight - height;
    this.follow();
  }

  /** True when anything but the draft has changed. */
  put(items, opened, place) {
    const keys = new Set(items.map((item) => item.key));
    const gone = [...this.items].filter(([key]) => !keys.has(key));
    for (const [key, held] of gone) this.drop(key, held);
    let hasChanged = gone.length > 0;
    items.forEach((item, index) => {
      const held = this.items.get(item.key) ?? this.make(item);
      if (this.lines.children[index] !== held.element) this.lines.insertBefore(held.element, this.lines.children[index] ?? null);
      if (held.value === item.value && held.state === item.state) return;
      fillItem(held.element, item, opened, place);
      Object.assign(held, { value: item.value, state: item.state });
      hasChanged = true;
    });
    return hasChanged;
  }

  make(item) {
    const held = { element: clone(item.kind === "message" || item.kind === "send" ? "message-template" : "mark-template"), value: null, state: null };
    this.items.set(item.key, held);
    return held;
  }

  drop(key, held) {
    held.element.remove();
    this.items.delete(key);
  }

  /** The message takes the draft's own element, so nothing jumps when the last word has come. */
  reuseDraft(items, opened) {
    if (!this.draft || opened.draft?.turn === this.draft.turn) return;
    const newest = items.findLast((item) => item.kind === "message");
    const { element, text } = this.draft;
    text.stop();
    this.draft = null;
    if (newest?.value.author !== "assistant" || this.items.has(newest.key)) return element.remove();
    element.classList.remove("is-draft");
    delete element.dataset.turn;
    element.querySelector(".message-mark").hidden = true;
    this.items.set(newest.key, { element, value: null, state: null });
  }

  showDraft({ draft }, place) {
    if (!draft) return;
    this.draft ??= this.makeDraft(draft.turn, place);
    this.lines.append(this.draft.element);
    this.draft.text.set(draft.text);
  }

  makeDraft(turn, place) {
    const element = clone("message-template");
    fillMessage(element, { author: "assistant", text: "" }, place.assistant.name);
    element.classList.add("is-draft");
    element.dataset.turn = turn;
    const mark = element.querySelector(".message-mark");
    mark.hidden = false;
    mark.textContent = "writing…";
    return { turn, element, text: new GrowingText(element.querySelector(".message-text"), () => this.follow()) };
  }

  showTyping(opened, writer, place) {
    const isDrafting = opened.draft !== null;
    const names = { customer: "The customer", assistant: place.assistant.name };
    this.typing.hidden = writer === null || (isDrafting && writer.author === "assistant");
    if (writer) setText(this.typing, `${names[writer.author] ?? writer.name ?? "An agent"} is writing…`);
  }

  /** New lines for a reader who is further up. */
  came(count) {
    if (this.isAtBottom) return;
    this.unseen += count;
    this.showJump();
  }

  follow() {
    if (this.isAtBottom) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  toBottom() {
    this.isAtBottom = true;
    this.unseen = 0;
    this.follow();
    this.showJump();
    this.onSeen();
    // The button that had the focus is gone.
    this.scroller.focus({ preventScroll: true });
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const wasAtBottom = this.isAtBottom;
    this.isAtBottom = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.isAtBottom) this.unseen = 0;
    if (this.isAtBottom && !wasAtBottom) this.onSeen();
    if (scrollTop < 160 && !this.older.hidden && !this.isAtBottom) this.onOlder();
    this.showJump();
  }

  showJump() {
    this.jump.hidden = this.isAtBottom;
    setText(this.jump, this.unseen ? `${this.unseen} new ${this.unseen === 1 ? "message" : "messages"} ↓` : "Newest ↓");
  }
}
