const SLOWEST = 10_000;
const WORDS = {
  connecting: "",
  live: "",
  offline: "No connection: changes by others show when it is back.",
  reload: "This page is out of date. Reload it.",
};

/**
 * Brings the facts of the team's room to the page as events on its body. A fact carries nothing: whatever shows what it is
 * about fetches itself again. After each connect `came_back` does the same for what was missed meanwhile.
 */
export class Live {
  constructor(status) {
    this.status = status;
    this.refusals = 0;
    this.socket = globalThis.io("/agents", {
      auth: { protocol: 1 },
      transports: ["websocket"],
      reconnectionDelay: 500,
      reconnectionDelayMax: SLOWEST,
      autoConnect: false,
    });
    this.socket.on("connect", () => this.live());
    this.socket.on("disconnect", (reason) => this.ended(reason));
    this.socket.on("connect_error", (error) => this.refused(error));
    this.socket.onAny((name) => tell(name));
  }

  open() {
    this.socket.connect();
  }

  live() {
    this.refusals = 0;
    this.show("live");
    tell("came_back");
  }

  ended(reason) {
    this.show("offline");
    // A right of this person ended, or the server stops: the library leaves it to the page to come back.
    if (reason === "io server disconnect") this.later(200 + Math.random() * 800);
  }

  refused(error) {
    const code = error.data?.code;
    if (code === "signed_out") return location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
    if (code === "reload") return this.show("reload");
    this.show("offline");
    if (!this.socket.active) this.later(this.pause());
  }

  pause() {
    this.refusals += 1;
    return Math.min(SLOWEST, 1000 * 2 ** (this.refusals - 1)) * (0.75 + Math.random() / 2);
  }

  later(milliseconds) {
    setTimeout(() => this.socket.connect(), milliseconds);
  }

  show(state) {
    this.status.dataset.state = state;
    this.status.textContent = WORDS[state];
  }
}

function tell(name) {
  document.body.dispatchEvent(new CustomEvent(name));
}
