const EXPIRES = 6000;

/** Who is writing in which conversation. It ends when told so, and by itself after six seconds. */
export class Typing {
  constructor({ me, onChange }) {
    Object.assign(this, { me, onChange, writers: new Map() });
  }

  /** `fact`: typing_changed. My own other tabs are no news to me. */
  hear(fact) {
    if (fact.author === "agent" && fact.agent?.id === this.me()) return;
    if (fact.is_typing) this.start(fact.conversation_id, { author: fact.author, name: fact.agent?.name ?? null });
    else this.stop(fact.conversation_id, fact.author);
  }

  /** {author, name} or null. */
  in(conversationId) {
    return this.writers.get(conversationId) ?? null;
  }

  start(conversationId, writer) {
    clearTimeout(this.in(conversationId)?.timer);
    const timer = setTimeout(() => this.stop(conversationId, writer.author), EXPIRES);
    this.writers.set(conversationId, { ...writer, timer });
    this.onChange(conversationId);
  }

  /** Also called when that author's line has come: it is no longer being written. */
  stop(conversationId, author) {
    const writer = this.in(conversationId);
    if (!writer || writer.author !== author) return;
    clearTimeout(writer.timer);
    this.writers.delete(conversationId);
    this.onChange(conversationId);
  }

  stopAll() {
    for (const [id, writer] of [...this.writers]) this.stop(id, writer.author);
  }
}
