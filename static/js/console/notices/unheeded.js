const AGAIN_AFTER = 30_000;
const TIMES = 3;

/** Notices that nobody has seen to yet, one for each conversation: after a while they sound again, and at last give up. */
export class Unheeded {
  constructor(onDue) {
    Object.assign(this, { onDue, held: new Map(), timer: null });
  }

  add(notice) {
    this.held.set(notice.conversation_id, { notice, left: TIMES, due: Date.now() + AGAIN_AFTER });
    this.arm();
  }

  of(conversationId) {
    return this.held.get(conversationId)?.notice ?? null;
  }

  settle(conversationId) {
    this.held.delete(conversationId);
    this.arm();
  }

  arm() {
    clearTimeout(this.timer);
    const next = Math.min(...[...this.held.values()].filter((one) => one.left).map((one) => one.due));
    if (next < Infinity) this.timer = setTimeout(() => this.ring(), Math.max(0, next - Date.now()));
  }

  ring() {
    const due = [...this.held.values()].filter((one) => one.left && one.due <= Date.now());
    for (const one of due) Object.assign(one, { left: one.left - 1, due: Date.now() + AGAIN_AFTER });
    if (due.length) this.onDue();
    this.arm();
  }
}
