/**
 * What an agent has written and the server does not have yet, kept over a switch and a reload. In the tab's own storage
 * (sessionStorage): it is private, and two tabs never fight over one text.
 */
export class Unsent {
  constructor(userId, storage = sessionStorage) {
    this.storage = storage;
    this.prefix = `handoff:unsent:${userId}:`;
  }

  text(conversationId) {
    return this.storage.getItem(this.prefix + conversationId) ?? "";
  }

  keepText(conversationId, text) {
    this.keep(this.prefix + conversationId, text);
  }

  sends() {
    try {
      return JSON.parse(this.storage.getItem(this.prefix)) ?? [];
    } catch {
      return [];
    }
  }

  keepSends(sends) {
    this.keep(this.prefix, sends.length ? JSON.stringify(sends) : "");
  }

  /** A full storage must not stop anybody from writing. */
  keep(key, value) {
    try {
      if (value) this.storage.setItem(key, value);
      else this.storage.removeItem(key);
    } catch {
      /* it lives on in the page */
    }
  }

  forgetAll() {
    for (const key of Object.keys(this.storage)) if (key.startsWith("handoff:")) this.storage.removeItem(key);
  }
}
