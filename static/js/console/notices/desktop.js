const AT_ONCE = 4;
const WITHIN = 10_000;

/** Notifications of the desktop: one for each conversation, which replaces itself. */
export class Desktop {
  constructor({ onChange, onOpen }) {
    Object.assign(this, { onChange, onOpen, shown: new Map(), times: [], isRefused: false });
  }

  /** "unsupported", or what the browser's user decided: "default" (not asked yet), "granted" or "denied". */
  get permission() {
    // Browsers hide it on pages without https; some phones have it and refuse every use.
    return "Notification" in globalThis && !this.isRefused ? Notification.permission : "unsupported";
  }

  /** Only from a click: a page that asks by itself is refused, and rightly. */
  async ask() {
    await Notification.requestPermission();
    this.onChange();
    return this.permission === "granted";
  }

  show({ conversation_id: id, assistant_id: assistantId, who, words }, isSilent) {
    if (this.isTooMany()) return this.make(null, "More conversations need a human", "The list has them all.", isSilent, () => {});
    this.make(id, who, words, isSilent, () => this.onOpen(assistantId, id));
  }

  /** Somebody saw to it: what still hangs on the desktop would be untrue. */
  close(id) {
    this.shown.get(id)?.close();
    this.shown.delete(id);
  }

  make(id, title, body, isSilent, open) {
    try {
      const notification = new Notification(title, { body, tag: `handoff:${id ?? "more"}`, renotify: true, silent: isSilent, icon: "/static/img/handoff.svg" });
      notification.onclick = () => this.clicked(notification, open);
      if (id) this.shown.set(id, notification);
    } catch {
      this.isRefused = true;
      this.onChange();
    }
  }

  clicked(notification, open) {
    globalThis.focus();
    notification.close();
    open();
  }

  /** A wave of them would bury the desktop, and no one is read. */
  isTooMany() {
    const now = Date.now();
    this.times = [...this.times.filter((time) => now - time < WITHIN), now].slice(-AT_ONCE - 1);
    return this.times.length > AT_ONCE;
  }
}
