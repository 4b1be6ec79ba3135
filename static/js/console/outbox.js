import { newClientId } from "../shared/client_id.js";

const PASSING = new Set(["offline", "timeout", "unavailable", "rate_limited"]);

/**
 * My lines on their way. In each conversation they leave in order, one at a time; each is repeated with the same client_id
 * until the server has answered, so that a lost ack never makes a second line.
 *
 * A send: {client_id, conversation_id, text, written_at, state, problem, number}; state is waiting, sending, sent or failed.
 */
export class Outbox {
  constructor({ post, unsent, onChange }) {
    Object.assign(this, { post, unsent, onChange, busy: new Set() });
    this.sends = unsent.sends().map((send) => (send.state === "sending" ? { ...send, state: "waiting" } : send));
  }

  of(conversationId) {
    return this.sends.filter((send) => send.conversation_id === conversationId);
  }

  add(conversationId, text) {
    this.sends.push({ client_id: newClientId(), conversation_id: conversationId, text, written_at: Date.now(), state: "waiting", problem: null, number: null });
    this.changed(conversationId);
    this.leave(conversationId);
  }

  /** The connection is back: everything that waits may go. */
  resume() {
    for (const id of new Set(this.sends.map((send) => send.conversation_id))) this.leave(id);
  }

  retry(clientId) {
    const send = this.find(clientId);
    if (!send) return;
    // After a conflict the server holds another text under this id; nothing was stored for any other refusal.
    if (send.problem?.code === "conflict") send.client_id = newClientId();
    Object.assign(send, { state: "waiting", problem: null });
    this.changed(send.conversation_id);
    this.leave(send.conversation_id);
  }

  discard(clientId) {
    const send = this.find(clientId);
    this.sends = this.sends.filter((one) => one !== send);
    if (send) this.changed(send.conversation_id);
  }

  /** Drops what stands in the transcript by now; before that an acked line stays, or it would vanish for a moment. */
  settle(conversationId, messages) {
    const held = new Set(messages.map((message) => message.client_id).filter(Boolean));
    const last = messages.at(-1)?.number ?? 0;
    const left = this.sends.filter((send) => send.conversation_id !== conversationId || !(held.has(send.client_id) || (send.state === "sent" && send.number <= last)));
    if (left.length === this.sends.length) return;
    this.sends = left;
    this.unsent.keepSends(left);
  }

  async leave(conversationId) {
    if (this.busy.has(conversationId)) return;
    this.busy.add(conversationId);
    try {
      for (let send = this.next(conversationId); send; send = this.next(conversationId)) if (!(await this.attempt(send))) break;
    } finally {
      this.busy.delete(conversationId);
    }
  }

  next(conversationId) {
    return this.sends.find((send) => send.conversation_id === conversationId && send.state === "waiting");
  }

  /** True when the next one may leave. */
  async attempt(send) {
    this.update(send, { state: "sending" });
    try {
      const { message } = await this.post(send);
      this.update(send, { state: "sent", number: message.number });
      return true;
    } catch (refusal) {
      if (!PASSING.has(refusal.code)) {
        this.update(send, { state: "failed", problem: { code: refusal.code, message: refusal.message } });
        return true;
      }
      this.update(send, { state: "waiting" });
      // Offline, resume() goes on; otherwise the clock does.
      if (refusal.code !== "offline") setTimeout(() => this.leave(send.conversation_id), 1000 * (refusal.details.retry_after ?? 1 + Math.random()));
      return false;
    }
  }

  update(send, change) {
    Object.assign(send, change);
    this.changed(send.conversation_id);
  }

  changed(conversationId) {
    // A line that the server has needs no keeping: the next fetch brings it.
    this.unsent.keepSends(this.sends.filter((send) => send.state !== "sent"));
    this.onChange(conversationId);
  }

  find(clientId) {
    return this.sends.find((send) => send.client_id === clientId);
  }
}
