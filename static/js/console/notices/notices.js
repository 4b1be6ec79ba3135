import { settledBy } from "../facts.js";
import { signalWords } from "../names.js";
import { Bell } from "./bell.js";
import { Choices } from "./choices.js";
import { Desktop } from "./desktop.js";
import { Sound } from "./sound.js";
import { Duty, Tabs } from "./tabs.js";
import { Unheeded } from "./unheeded.js";

const MOST_KNOWN = 2000;
const SETTLING = ["conversation_taken_over", "conversation_closed"];

/**
 * Makes an agent look up when a conversation needs a human: by a sound and on the desktop, once for each signal and agent.
 *
 * Every tab hears the facts of its own assistant and tells the others, so all of them know each notice; one tab sounds and one
 * shows it. Facts lead to it and no timer does: in a tab that was long hidden timers come late, facts don't.
 */
export class Notices {
  constructor({ userId, servedAt, onOpen, mayNotice, isRead }) {
    Object.assign(this, { servedAt, mayNotice, isRead, known: new Set(), newest: null });
    const changed = () => this.changed();
    this.tabs = new Tabs(userId, (message) => this.told(message));
    this.choices = new Choices(userId, changed);
    this.sound = new Sound(changed);
    this.desktop = new Desktop({ onChange: changed, onOpen });
    this.unheeded = new Unheeded(() => this.again());
    this.makeDuties();
    this.bell = new Bell(this);
    for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, () => this.choices.sound && this.sound.prepare(), { capture: true });
    document.addEventListener("freeze", () => this.freeze());
    document.addEventListener("resume", () => this.changed());
    this.changed();
  }

  makeDuties() {
    const isWanted = ({ id, conversation_id }) => this.unheeded.of(conversation_id)?.id === id;
    const shared = { tabs: this.tabs, isWanted };
    this.sounding = new Duty({ ...shared, name: "sounding", isAble: () => this.choices.sound && this.sound.isReady, act: () => this.sound.play() });
    this.showing = new Duty({
      ...shared,
      name: "showing",
      isAble: () => this.choices.desktop && this.desktop.permission === "granted",
      act: (notice) => this.desktop.show(notice, this.sounding.isMine),
    });
  }

  /** A choice, a permission or the audio is another now. */
  changed() {
    if (this.choices.sound) this.sound.prepare();
    this.sounding?.seek();
    this.showing?.seek();
    this.bell?.draw();
  }

  /** The browser stops a tab that was long hidden: another one has to do it. */
  freeze() {
    this.sounding.leave();
    this.showing.leave();
  }

  // --- what comes ---

  /** Another assistant: what its first list holds is no news. */
  reset() {
    this.newest = null;
  }

  /** A list came: signals that were raised since the last one and that no fact told, as after a broken connection. */
  listed(conversations) {
    const pairs = conversations.flatMap((one) => (one.signals ?? []).map((signal) => [one, signal]));
    for (const [one, signal] of pairs) {
      if (this.newest === null) this.keep(signal.id);
      else if (signal.raised_at > this.newest && signal.cleared_at == null) this.raised(one.assistant_id, one.id, signal, one);
    }
    // Not only of what is listed: what comes up from the pages below is no news either.
    this.newest = Math.max(this.newest ?? 0, this.serverTime(), ...pairs.map(([, signal]) => signal.raised_at));
  }

  /** Never ahead of the server's clock, whatever the time is here: the page was on its way before this one began to count. */
  serverTime() {
    const [arrival] = performance.getEntriesByType("navigation");
    return this.servedAt + performance.now() - (arrival?.responseEnd ?? 0);
  }

  /** A versioned fact. `conversation`: its row as the fact left it, or undefined where it is not held. */
  hear(name, fact, conversation) {
    const id = fact.conversation_id;
    if (name === "signal_raised") this.raised(fact.assistant_id, id, fact.signal, conversation);
    else if (SETTLING.includes(name) || (name === "message_posted" && this.isAnswer(id, fact.message))) this.settle(id);
  }

  isAnswer(id, message) {
    const notice = this.unheeded.of(id);
    return notice !== null && settledBy(message, { ...notice, cleared_at: null }).cleared_at !== null;
  }

  raised(assistantId, id, signal, conversation) {
    if (this.known.has(signal.id) || !this.mayNotice(assistantId, conversation)) return;
    const who = conversation?.customer?.name || "A customer";
    const notice = { id: signal.id, kind: signal.kind, assistant_id: assistantId, conversation_id: id, who, words: signalWords(signal) };
    this.learn(notice);
    this.tabs.say({ raised: notice });
    if (this.isRead(id)) this.settle(id); // no need to call whoever has it before their eyes again
  }

  /** What another tab says. */
  told({ raised, settled, done, id }) {
    if (raised) this.learn(raised);
    if (settled) this.forget(settled);
    if (done) this[done].done(id);
  }

  learn(notice) {
    if (this.known.has(notice.id)) return;
    this.keep(notice.id);
    this.unheeded.add(notice);
    this.sounding.call(notice);
    this.showing.call(notice);
  }

  keep(id) {
    this.known.add(id);
    if (this.known.size > MOST_KNOWN) this.known.delete(this.known.values().next().value);
  }

  // --- what somebody does about it ---

  /** Opened by this agent, taken over, answered or closed. */
  settle(id) {
    this.forget(id);
    this.tabs.say({ settled: id });
  }

  forget(id) {
    this.unheeded.settle(id);
    this.desktop.close(id);
  }

  again() {
    if (this.sounding.isMine && this.choices.sound) this.sound.play();
  }
}
