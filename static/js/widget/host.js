/**
 * The page around this frame, reached through the launcher. Whoever embeds us speaks first; from then on only that exact
 * origin is heard and answered. Opened in a tab of its own, the frame has no host and is always open.
 */
export class Host {
  #origin = null;
  #told = new Map();

  constructor({ opened, closed }) {
    this.isAlone = window.parent === window;
    this.opened = opened;
    this.closed = closed;
    addEventListener("message", (event) => this.#hear(event));
  }

  /** `kind` is close, look or unread. Look and unread are kept until the host has spoken. */
  tell(kind, details = {}) {
    if (this.isAlone) return;
    if (this.#origin) window.parent.postMessage({ handoff: kind, ...details }, this.#origin);
    else this.#told.set(kind, details);
  }

  #hear({ source, origin, data }) {
    if (this.isAlone || source !== window.parent || origin === "null") return;
    if (origin !== (this.#origin ?? origin)) return;
    if (data?.handoff !== "opened" && data?.handoff !== "closed") return;
    this.#origin = origin;
    for (const [kind, details] of this.#told) this.tell(kind, details);
    this.#told.clear();
    if (data.handoff === "opened") this.opened(Boolean(data.focus));
    else this.closed();
  }
}
