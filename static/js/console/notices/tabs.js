const PATIENCE = 5000;

/** What the tabs of one agent in one browser tell each other. */
export class Tabs {
  constructor(userId, onHear) {
    this.name = `handoff:notices:${userId}`;
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = ({ data }) => onHear(data);
  }

  say(message) {
    this.channel.postMessage(message);
  }
}

/**
 * Something that one tab does for all of them: whoever holds the lock of that name. The browser gives it to the next tab as soon as
 * the holder is closed or frozen. A holder that says nothing, as when its audio was taken away, is relieved after a while.
 */
export class Duty {
  constructor({ name, tabs, isAble, isWanted, act }) {
    Object.assign(this, { name, tabs, isAble, isWanted, act, isMine: false, isSought: false, queueing: null, left: new Map() });
  }

  /** To be called whenever this tab may have become able. */
  seek() {
    if (!this.isSought && this.isAble()) this.request();
  }

  call(notice) {
    if (!this.isAble()) return;
    if (this.isMine) return this.perform(notice);
    // Not all at the same moment: the first to step in tells the others.
    const timer = setTimeout(() => this.stepIn(notice), PATIENCE * (1 + Math.random() / 2));
    this.left.set(notice.id, { notice, timer });
  }

  done(id) {
    clearTimeout(this.left.get(id)?.timer);
    this.left.delete(id);
  }

  stepIn(notice) {
    this.done(notice.id);
    if (!this.isAble() || !this.isWanted(notice)) return;
    if (!this.isMine) this.request({ steal: true });
    this.perform(notice);
  }

  perform(notice) {
    this.act(notice);
    this.tabs.say({ done: this.name, id: notice.id });
  }

  /** Before this tab is frozen: the next one in the queue has it at once. */
  leave() {
    this.isMine = this.isSought = false;
    this.queueing?.abort();
    this.release?.();
  }

  async request(options) {
    this.isSought = true;
    // Only pages with https have locks; without them each tab is on its own.
    if (!navigator.locks) return this.hold();
    this.queueing?.abort();
    const queueing = (this.queueing = new AbortController());
    try {
      await navigator.locks.request(`${this.tabs.name}:${this.name}`, options ?? { signal: queueing.signal }, () => this.hold());
    } catch (error) {
      if (error.name !== "AbortError" || queueing.signal.aborted) return;
      this.isMine = false;
      this.request(); // another tab stepped in: behind it in the queue
    }
  }

  /** Until the tab is closed or frozen. */
  hold() {
    this.isMine = true;
    for (const { notice } of this.left.values()) this.stepIn(notice); // the former holder went without a word
    return new Promise((release) => (this.release = release));
  }
}
