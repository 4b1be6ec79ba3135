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
    return this.#memory.get(name) ?? null;
  }

  write(name, value) {
    try {
      this.storage().setItem(this.#prefix + name, JSON.stringify(value));
      this.#memory.delete(name);
    } catch {
      // A full or refused storage must not leave the older value to be read back.
      this.#drop(name);
      this.#memory.set(name, value);
    }
  }

  remove(name) {
    this.#memory.delete(name);
    this.#drop(name);
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
