// People of the tests who use the stock JavaScript client, as a page would, by nothing but the README's protocol.
import { io } from "socket.io-client";

const PATIENCE = 10_000;

class Person {
  constructor(url, namespace, auth, options = {}) {
    this.facts = [];
    this.socket = io(url + namespace, { auth, forceNew: true, reconnectionDelay: 200, reconnectionDelayMax: 500, ...options });
    this.socket.onAny((name, payload) => this.facts.push([name, payload]));
  }

  connected() {
    return new Promise((resolve, reject) => {
      this.socket.once("connect", resolve);
      this.socket.once("connect_error", reject);
    });
  }

  ask(command, payload = {}) {
    return this.socket.timeout(PATIENCE).emitWithAck(command, payload);
  }

  async do(command, payload) {
    const ack = await this.ask(command, payload);
    if (!("ok" in ack)) throw new Error(`${command} was refused: ${JSON.stringify(ack)}`);
    return ack.ok;
  }

  // The first fact of that name that fits, past or future.
  async hears(name, fits = () => true) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const fact = this.facts.find(([heard, payload]) => heard === name && fits(payload));
      if (fact) return fact[1];
      if (Date.now() > deadline) throw new Error(`no ${name}; heard ${this.facts.map(([heard]) => heard)}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

export class Customer extends Person {
  constructor(url, key, token = null, options) {
    super(url, "/customers", { protocol: 1, widget: key, token }, options);
  }
}

export class Agent extends Person {
  constructor(url, cookie, options) {
    super(url, "/agents", { protocol: 1 }, { extraHeaders: { Cookie: cookie }, ...options });
  }
}

// Runs a story with the JSON given as the only argument, and prints what it returns as JSON.
export async function tell(story) {
  try {
    console.log(JSON.stringify(await story(JSON.parse(process.argv[2]))));
    process.exit(0);
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}
