import { setText } from "../../shared/clone.js";

const part = (id) => document.getElementById(id);

const DESKTOP = {
  unsupported: "This browser shows none on this page. They need https, and on phones most browsers have none.",
  denied: "Blocked by your browser. Allow them for this site in its settings, then come back.",
  default: "Off. Your browser will ask you whether it may.",
};

/** The menu in the bar: what is on, in words that are true of this tab, and the switches. */
export class Bell {
  constructor(notices) {
    this.notices = notices;
    this.menu = part("notices-menu");
    this.menu.addEventListener("beforetoggle", (event) => event.newState === "open" && this.opening());
    part("sound-switch").addEventListener("click", () => this.switchSound());
    part("sound-test").addEventListener("click", () => notices.sound.test());
    part("desktop-switch").addEventListener("click", () => this.switchDesktop());
  }

  /** Below the button, wherever the bar's lines have put it. The permission may have changed in the browser's own settings. */
  opening() {
    const { bottom, right } = part("notices-button").getBoundingClientRect();
    this.menu.style.insetBlockStart = `${bottom + 6}px`;
    this.menu.style.setProperty("--from-end", `${innerWidth - right}px`);
    this.draw();
  }

  draw() {
    const { sound, desktop, choices } = this.notices;
    const [sounds, shows] = [choices.sound && sound.isReady, choices.desktop && desktop.permission === "granted"];
    setText(part("sound-state"), this.soundWords());
    setText(part("sound-switch"), choices.sound ? "Mute" : "Turn sound on");
    part("sound-switch").hidden = !sound.isSupported;
    part("sound-test").hidden = !sounds;
    setText(part("desktop-state"), this.desktopWords(shows));
    setText(part("desktop-switch"), shows ? "Turn notifications off" : "Turn notifications on");
    part("desktop-switch").hidden = ["unsupported", "denied"].includes(desktop.permission);
    this.drawButton(sounds, shows);
  }

  drawButton(sounds, shows) {
    const button = part("notices-button");
    button.dataset.state = sounds || shows ? "on" : "off";
    const words = `Notices: sound ${sounds ? "on" : "off"}, notifications ${shows ? "on" : "off"}`;
    button.title = words;
    setText(button.querySelector(".unseen"), words);
  }

  soundWords() {
    const { sound, choices } = this.notices;
    if (!sound.isSupported) return "This browser cannot play it.";
    if (!choices.sound) return "Off.";
    return sound.isReady ? "On." : "Waiting: your browser plays it once you click or press a key on this page.";
  }

  desktopWords(shows) {
    return DESKTOP[this.notices.desktop.permission] ?? (shows ? "On." : "Off.");
  }

  /** The click that turns it on is what lets the browser play, and is answered by the sound itself. */
  async switchSound() {
    const { sound, choices } = this.notices;
    choices.set("sound", !choices.sound);
    if (!choices.sound) return;
    sound.prepare();
    await sound.context.resume();
    if (choices.sound) sound.test();
  }

  async switchDesktop() {
    const { desktop, choices } = this.notices;
    const isOn = choices.desktop && desktop.permission === "granted";
    choices.set("desktop", !isOn && (desktop.permission === "granted" || (await desktop.ask())));
  }
}
