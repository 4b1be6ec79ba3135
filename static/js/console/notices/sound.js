const APART = 2000; // many signals at once are one sound
const SECONDS = 0.7;

/** Two rising tones. A browser plays nothing before somebody clicked or pressed a key on the page, and says so by the context's state. */
export class Sound {
  constructor(onChange) {
    Object.assign(this, { onChange, context: null, playedAt: -Infinity });
  }

  get isSupported() {
    return "AudioContext" in globalThis;
  }

  get isReady() {
    return this.context?.state === "running";
  }

  /** Makes it ready if the browser lets us: in a gesture always, else perhaps. */
  prepare() {
    if (!this.isSupported || this.isReady) return;
    if (!this.context) {
      this.context = new AudioContext();
      this.context.addEventListener("statechange", () => this.onChange());
    }
    // What is not allowed stays pending without end, so nobody waits for it: the state tells.
    this.context.resume().then(() => this.onChange(), () => {});
  }

  play() {
    if (!this.isReady || performance.now() - this.playedAt < APART) return;
    this.playedAt = performance.now();
    this.test();
  }

  test() {
    const { context } = this;
    const [tone, loudness, from] = [context.createOscillator(), context.createGain(), context.currentTime];
    tone.frequency.setValueAtTime(660, from);
    tone.frequency.setValueAtTime(880, from + 0.2);
    loudness.gain.setValueAtTime(0.0001, from);
    loudness.gain.exponentialRampToValueAtTime(0.3, from + 0.03);
    loudness.gain.exponentialRampToValueAtTime(0.0001, from + SECONDS);
    tone.connect(loudness).connect(context.destination);
    tone.start(from);
    tone.stop(from + SECONDS);
  }
}
