const PROTOCOL = 1;
const PATIENCE = 10_000;
const LONGEST_DELAY = 10_000;

/**
 * The one Socket.IO connection of this frame. All waiting is done here and not by the client library, so that a refusal,
 * a lost line and a server that sends us away follow one rule.
 *
 * States: connecting, connected, lost, offline; refused and outdated are final.
 */
export class Connection {
  #timer = null;
  #attempts = 0;
  #sentToken = null;
  #isNew = false;
  #isRestarting = false;
  #opened = null;

  constructor(key, store, changed) {
    this.store = store;
    this.changed = changed;
    this.state = "connecting";
    this.socket = io("/customers", {
      autoConnect: false,
      reconnection: false,
      timeout: PATIENCE,
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      auth: (send) => send({ protocol: PROTOCOL, widget: key, token: (this.#sentToken = store.read("token")) }),
    });
    this.socket.on("connect_error", (error) => this.#refused(error.data?.code));
    this.socket.on("disconnect", (reason) => this.#lost(reason));
    this.socket.on("conversation_opened", (fact) => this.#welcome(fact));
    store.watch("token", () => this.#isNew && this.#isSomebodyElse && this.renew());
    addEventListener("online", () => this.connect());
    addEventListener("offline", () => this.isConnected || this.#become("offline"));
  }

  /** Calls back with each fact of this name, in the order of arrival. */
  on(fact, heard) {
    if (fact === "conversation_opened") this.#opened = heard;
    else this.socket.on(fact, heard);
  }

  get isConnected() {
    return this.state === "connected";
  }

  /** Connects now, whatever delay is running. */
  connect() {
    if (this.isConnected || this.#isFinal) return;
    this.#isRestarting = true;
    this.socket.disconnect();
    this.#isRestarting = false;
    this.socket.connect();
    this.#become(this.#unconnected);
    // Also for a server that takes the connection and then says nothing.
    this.#after(2 * PATIENCE, () => this.#retry());
  }

  /** Gives up a connection that no longer answers, before the ping notices. */
  renew() {
    if (this.isConnected) this.socket.disconnect();
  }

  /** Resolves with {ok} or {error: {code, message, details}}; a time-out is `unavailable`. Never rejects. */
  async command(name, payload = {}, patience = PATIENCE) {
    if (!this.isConnected) return unavailable(false);
    try {
      return (await this.socket.timeout(patience).emitWithAck(name, payload)) ?? unavailable(false);
    } catch {
      return unavailable(this.isConnected);
    }
  }

  #welcome(fact) {
    this.#isNew = !this.#sentToken;
    this.#sentToken = fact.token;
    if (this.#isNew && this.#isSomebodyElse) return this.socket.disconnect();
    this.store.write("token", fact.token);
    this.#attempts = 0;
    clearTimeout(this.#timer);
    this.#become("connected");
    this.#opened(fact);
  }

  // Two new tabs are each made a customer: the one whose token is kept is who both go on as.
  get #isSomebodyElse() {
    const kept = this.store.read("token");
    return kept !== null && kept !== this.#sentToken;
  }

  #refused(code) {
    if (code === "unknown_widget" || code === "site_not_allowed") return this.#become("refused", code);
    if (code === "reload") return this.#become("outdated");
    if (code === "bad_token" && this.#sentToken) {
      if (this.store.read("token") === this.#sentToken) this.store.remove("token");
      return this.#retry(100);
    }
    this.#retry();
  }

  #lost(reason) {
    if (this.#isRestarting) return;
    // A server that stops sends everybody away at once: come back spread over a second or two.
    if (reason === "io server disconnect") this.#retry(300 + Math.random() * 1500);
    else this.#retry(reason === "io client disconnect" ? 50 : 200 + Math.random() * 400);
  }

  #retry(delay = Math.min(LONGEST_DELAY, 1000 * 2 ** this.#attempts++) * (0.6 + Math.random() * 0.4)) {
    this.#after(delay, () => this.connect());
    this.#become(this.#unconnected);
  }

  #after(delay, next) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(next, delay);
  }

  get #unconnected() {
    if (!navigator.onLine) return "offline";
    return this.state === "connecting" ? "connecting" : "lost";
  }

  get #isFinal() {
    return this.state === "refused" || this.state === "outdated";
  }

  #become(state, code = null) {
    if (this.#isFinal || state === this.state) return;
    this.state = state;
    if (this.#isFinal) clearTimeout(this.#timer);
    this.changed(state, code);
  }
}

function unavailable(timedOut) {
  return { error: { code: "unavailable", message: "", details: { timed_out: timedOut } } };
}
