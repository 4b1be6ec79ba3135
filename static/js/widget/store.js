// Who we are. It alone is kept in a cookie where there is no storage: cookies are small, and the server gets them.
const TOKEN = "token";
const LONGEST_COOKIE = 400 * 24 * 60 * 60;

/** What the browser keeps for one widget. Where storage is refused (a blocked third-party frame) memory stands in. */
export class Store {
  #memory = new Map();
  #prefix;

  constructor(prefix, storage = () => localStorage) {
    this.#prefix = prefix;
    this.storage = storage;
  }

  read(name) {
    try {
      const kept = this.storage().getItem(this.#prefix + name);
      if (kept !== null) return JSON.parse(kept);
    } catch {}
    return this.#memory.get(name) ?? (name === TOKEN ? readCookie(this.#prefix + name) : null);
  }

  write(name, value) {
    try {
      this.storage().setItem(this.#prefix + name, JSON.stringify(value));
      this.#memory.delete(name);
    } catch {
      // A full or refused storage must not leave the older value to be read back.
      this.#drop(name);
      this.#memory.set(name, value);
      if (name === TOKEN) writeCookie(this.#prefix + name, value, LONGEST_COOKIE);
    }
  }

  remove(name) {
    this.#memory.delete(name);
    this.#drop(name);
    if (name === TOKEN) writeCookie(this.#prefix + name, "", 0);
  }

  /** The names that begin with `start`, in no particular order. */
  names(start) {
    const names = new Set([...this.#memory.keys()].filter((name) => name.startsWith(start)));
    try {
      for (const key of Object.keys(this.storage()))
        if (key.startsWith(this.#prefix + start)) names.add(key.slice(this.#prefix.length));
    } catch {}
    return [...names];
  }

  /** Calls back when another tab changes something whose name begins with `start`. */
  watch(start, changed) {
    addEventListener("storage", ({ key }) => key?.startsWith(this.#prefix + start) && changed());
  }

  #drop(name) {
    try {
      this.storage().removeItem(this.#prefix + name);
    } catch {}
  }
}

// A partitioned cookie is allowed to a frame that may have nothing else, since it is seen on this one site only.
function writeCookie(name, value, seconds) {
  const kept = `${encodeURIComponent(name)}=${encodeURIComponent(JSON.stringify(value))}`;
  try {
    document.cookie = `${kept}; Path=${location.pathname}; Max-Age=${seconds}; Secure; SameSite=None; Partitioned`;
  } catch {}
}

function readCookie(name) {
  const start = `${encodeURIComponent(name)}=`;
  try {
    const kept = document.cookie.split("; ").find((cookie) => cookie.startsWith(start));
    return kept ? JSON.parse(decodeURIComponent(kept.slice(start.length))) : null;
  } catch {
    return null;
  }
}
