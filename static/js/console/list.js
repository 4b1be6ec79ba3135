import { clone, setText } from "../shared/clone.js";
import { fillRow, fillWaiting } from "./row.js";

/**
 * The list of conversations. A row never moves under the pointer or the focus: while either is in the list its order stands
 * still, rows that ended stay in place, new ones wait behind a pill.
 */
export class List {
  constructor({ element, pill, onOpen }) {
    Object.assign(this, { element, pill, onOpen, order: [], items: new Map(), latest: null, isPointed: false });
    this.scroller = element.parentElement;
    this.scroller.addEventListener("pointerenter", (event) => event.pointerType !== "touch" && this.point(true));
    this.scroller.addEventListener("pointerleave", () => this.point(false));
    element.addEventListener("focusout", () => setTimeout(() => this.catchUp()));
    element.addEventListener("click", (event) => this.clicked(event));
    element.addEventListener("keydown", (event) => this.stepped(event));
    pill.addEventListener("click", () => this.bringIn());
  }

  /** `rows`: sorted; `all`: every held conversation by id; `view`: {openId, place, writerIn}. */
  render(rows, all, view) {
    this.latest = { rows, all, view };
    const wanted = rows.map((row) => row.id);
    const order = this.isStill() ? this.stillOrder(wanted, all) : wanted;
    this.place(order);
    const shown = new Set(wanted);
    for (const id of order) fillRow(this.items.get(id), all.get(id), { ...view, isGone: !shown.has(id) });
    this.showPill(wanted, order);
  }

  /** Another assistant or filter: nothing of the old order is worth keeping. */
  reset() {
    this.order = [];
    this.place([]);
    this.scroller.scrollTop = 0;
  }

  tick() {
    for (const id of this.order) fillWaiting(this.items.get(id), this.latest.all.get(id));
  }

  isStill() {
    // A click leaves focus behind without anybody steering by it; only focus that shows holds the list.
    const steered = this.element.contains(document.activeElement) && document.activeElement.matches(":focus-visible");
    return this.order.length > 0 && (this.isPointed || steered);
  }

  /** What stands stays where it is; rows below the last of them ("Show more") move nothing, so they may come. */
  stillOrder(wanted, all) {
    const kept = this.order.filter((id) => all.has(id));
    const last = Math.max(...kept.map((id) => wanted.indexOf(id)));
    return [...kept, ...wanted.slice(last + 1)];
  }

  place(order) {
    const focused = document.activeElement;
    for (const [id, item] of this.items) if (!order.includes(id)) this.drop(id, item);
    order.forEach((id, index) => {
      const item = this.items.get(id) ?? this.make(id);
      if (this.element.children[index] !== item) this.element.insertBefore(item, this.element.children[index] ?? null);
    });
    this.order = order;
    if (focused !== document.activeElement && this.element.contains(focused)) focused.focus({ preventScroll: true });
  }

  make(id) {
    const item = clone("row-template");
    item.dataset.conversation = id;
    this.items.set(id, item);
    return item;
  }

  drop(id, item) {
    item.remove();
    this.items.delete(id);
  }

  showPill(wanted, order) {
    const held = new Set(order);
    const waiting = wanted.filter((id) => !held.has(id)).length;
    const moved = wanted.some((id, index) => id !== order[index]);
    this.pill.hidden = !moved;
    setText(this.pill, waiting ? `${waiting} new` : "Update order");
  }

  bringIn() {
    this.order = [];
    this.catchUp();
    this.scroller.scrollTop = 0;
    this.element.querySelector("button")?.focus({ preventScroll: true });
  }

  catchUp() {
    if (this.latest && !this.isStill()) this.render(this.latest.rows, this.latest.all, this.latest.view);
  }

  point(isPointed) {
    this.isPointed = isPointed;
    this.catchUp();
  }

  clicked(event) {
    const row = event.target.closest("[data-conversation]");
    if (row) this.onOpen(row.dataset.conversation);
  }

  stepped(event) {
    const buttons = [...this.element.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(to, buttons.length - 1))].focus();
  }
}
