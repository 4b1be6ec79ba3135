const SHELF = "outbox:";
const MOST_UNSENT = 50;
const TOO_OLD = 24 * 60 * 60 * 1000;
const LONGEST_DELAY = 10_000;
const OTHER_TAB_PATIENCE = 2000;

/**
 * Texts that are not yet acknowledged, in order, kept across reloads and shared by the tabs of one widget. The first one
 * goes out alone and the next follows its ack: that is what keeps the order, and its client_id keeps it from counting twice.
 *
 * A text is {client_id, text, place, written_at, mark: "pending" | "late" | "failed", code}. Each has a storage entry of its
 * own, because two tabs that rewrote one list would lose each other's texts.
 */
export class Outbox {
  #isFlushing = false;
  #attempts = 0;
  #wake = () => {};

  constructor(key, store, connection, { changed, accepted }) {
    this.lock = `handoff:${key}:outbox`;
    this.store = store;
    this.connection = connection;
    this.changed = changed;
    this.accepted = accepted;
    store.watch(SHELF, () => changed(this.texts));
    for (const text of this.texts)
      if (Date.now() - text.written_at > TOO_OLD) this.#keep({ ...text, mark: "failed", code: "old" });
  }

  get texts() {
    const texts = this.store.names(SHELF).map((name) => this.store.read(name)).filter((text) => text?.client_id);
    return texts.sort((one, other) => one.place - other.place || one.written_at - other.written_at);
  }

  get isFull() {
    return this.texts.length >= MOST_UNSENT;
  }

  add(text) {
    const place = 1 + Math.max(0, ...this.texts.map((other) => other.place));
    this.#keep({ client_id: newId(), text, place, written_at: Date.now(), mark: "pending", code: null });
    this.flush();
  }

  /** Sends a failed text again; one whose id the server knows with another text gets a new id. */
  retry(clientId) {
    const text = this.take(clientId);
    if (!text) return;
    const id = text.code === "conflict" ? newId() : clientId;
    this.#keep({ ...text, client_id: id, mark: "pending", code: null, written_at: Date.now() });
    this.resume();
  }

  /** Takes a text out, because it is stored or because the customer takes it back; returns it. */
  take(clientId) {
    const text = this.store.read(SHELF + clientId);
    if (!text) return null;
    this.store.remove(SHELF + clientId);
    this.changed(this.texts);
    return text;
  }

  /** Sends what waits, at once: the connection has just come. */
  resume() {
    this.#attempts = 0;
    this.#wake();
    this.flush();
  }

  async flush() {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      while (this.connection.isConnected && this.#first) await this.#alone(() => this.#sendFirst());
    } finally {
      this.#isFlushing = false;
    }
  }

  get #first() {
    return this.texts.find((text) => text.mark !== "failed");
  }

  // One tab at a time, so that the others don't repeat what is under way; but no tab waits long for a stuck one.
  async #alone(send) {
    if (!navigator.locks) return this.#waitAfter(await send());
    let delay = 0;
    let began = false;
    const once = async () => {
      began = true;
      delay = await send();
    };
    try {
      await navigator.locks.request(this.lock, { signal: AbortSignal.timeout(OTHER_TAB_PATIENCE) }, once);
    } catch (error) {
      if (began) throw error;
      await once();
    }
    await this.#waitAfter(delay);
  }

  // Returns how long to wait, in ms, before the next try.
  async #sendFirst() {
    const text = this.#first;
    if (!text || !this.connection.isConnected) return 0;
    const { ok, error } = await this.connection.command("post_message", { client_id: text.client_id, text: text.text });
    if (ok) {
      this.#attempts = 0;
      // The stored line first: it takes the place of the unsent one.
      this.accepted(ok.message);
      this.take(text.client_id);
      return 0;
    }
    return this.#refused(text.client_id, error);
  }

  #refused(clientId, { code, details }) {
    if (code === "rate_limited") return 1000 * Math.max(0.2, details?.retry_after ?? 1);
    if (code === "unavailable") {
      this.#attempts += 1;
      if (this.#attempts > 2) this.#mark(clientId, "late");
      return Math.min(LONGEST_DELAY, 500 * 2 ** this.#attempts);
    }
    this.#mark(clientId, "failed", code);
    return 0;
  }

  #waitAfter(delay) {
    if (!delay || !this.connection.isConnected) return;
    return new Promise((done) => {
      const timer = setTimeout(done, delay);
      this.#wake = () => done(clearTimeout(timer));
    });
  }

  #mark(clientId, mark, code = null) {
    const text = this.store.read(SHELF + clientId);
    if (text) this.#keep({ ...text, mark, code });
  }

  #keep(text) {
    this.store.write(SHELF + text.client_id, text);
    this.changed(this.texts);
  }
}

// randomUUID exists only in secure contexts, and a widget may stand on a plain http page.
function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
