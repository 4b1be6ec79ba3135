const SLOWEST = 10_000;

/** What a command came back with when it was not `ok`. `code` is the wire's, or "offline" / "timeout" of our own. */
export class Refusal extends Error {
  constructor({ code, message, details }) {
    super(message || code);
    this.code = code;
    this.details = details ?? {};
  }
}

/**
 * The socket to /agents. Tells its state honestly, and knows the cases that the library leaves to the page: a refused
 * connection and one that the server ended are never retried by it.
 */
export class Connection {
  constructor({ onState, onFact, onLive }) {
    Object.assign(this, { onState, onFact, onLive, since: null, refusals: 0 });
    this.socket = globalThis.io("/agents", {
      auth: { protocol: 1 },
      // Several processes may share the port, and only a WebSocket stays with one of them.
      transports: ["websocket"],
      reconnectionDelay: 500,
      reconnectionDelayMax: SLOWEST,
      autoConnect: false,
    });
    this.socket.on("connect", () => this.live());
    this.socket.on("disconnect", (reason) => this.ended(reason));
    this.socket.on("connect_error", (error) => this.refused(error));
    this.socket.onAny((name, fact) => this.onFact(name, fact));
    // Without this a dead socket looks alive until the next missed ping.
    addEventListener("offline", () => this.socket.io.engine?.close());
    addEventListener("online", () => this.retryNow());
  }

  get isLive() {
    return this.socket.connected;
  }

  open() {
    this.onState({ name: "connecting" });
    this.socket.connect();
  }

  /** Emits a command and gives its `ok`; throws a Refusal. Nothing is buffered for later: the caller decides that. */
  async ask(command, payload = {}, within = 8000) {
    if (!this.isLive) throw new Refusal({ code: "offline", message: "You are offline." });
    let answer;
    try {
      answer = await this.socket.timeout(within).emitWithAck(command, payload);
    } catch {
      throw new Refusal({ code: "timeout", message: "The server did not answer in time." });
    }
    if (answer?.error) throw new Refusal(answer.error);
    return answer?.ok ?? null;
  }

  live() {
    this.since = null;
    this.refusals = 0;
    this.onState({ name: "live" });
    this.onLive();
  }

  ended(reason) {
    this.since = Date.now();
    this.onState({ name: navigator.onLine ? "reconnecting" : "offline", since: this.since });
    // A clean shutdown, or a right that ended: everybody comes back, so not all at once.
    if (reason === "io server disconnect") setTimeout(() => this.socket.connect(), 200 + Math.random() * 1800);
  }

  refused(error) {
    this.since ??= Date.now();
    const code = error.data?.code;
    if (code === "signed_out") return signInAgain();
    if (code === "reload") return this.onState({ name: "reload" });
    this.onState({ name: "offline", since: this.since });
    if (!this.socket.active) setTimeout(() => this.socket.connect(), this.pause());
  }

  pause() {
    this.refusals += 1;
    return Math.min(SLOWEST, 1000 * 2 ** (this.refusals - 1)) * (0.75 + Math.random() / 2);
  }

  /** The browser says that the network is back: don't sit out the pause. */
  retryNow() {
    if (this.isLive) return;
    this.socket.disconnect();
    this.socket.connect();
  }
}

/** The fragment never reaches the server, so it waits here for the way back. */
export const ROUTE_AFTER_SIGN_IN = "handoff:route";

function signInAgain() {
  sessionStorage.setItem(ROUTE_AFTER_SIGN_IN, location.hash);
  location.assign("/sign-in?next=/console");
}
