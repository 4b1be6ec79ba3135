/** What this agent chose in this browser: `sound` and `desktop`, each on or off. The same in all of their tabs. */
export class Choices {
  constructor(userId, onChange) {
    Object.assign(this, { key: `handoff:notices:${userId}`, onChange, sound: false, desktop: false });
    this.read();
    addEventListener("storage", (event) => event.key === this.key && this.changed());
  }

  set(name, isOn) {
    this[name] = isOn;
    try {
      localStorage.setItem(this.key, JSON.stringify({ sound: this.sound, desktop: this.desktop }));
    } catch {
      /* without storage it holds until the page is left */
    }
    this.onChange();
  }

  changed() {
    this.read();
    this.onChange();
  }

  read() {
    try {
      const { sound, desktop } = JSON.parse(localStorage.getItem(this.key)) ?? {};
      Object.assign(this, { sound: sound === true, desktop: desktop === true });
    } catch {
      /* nothing was chosen */
    }
  }
}
