import { Sequence } from "./sequence.js";
import { Turns } from "./turns.js";

const RETRY_DELAY = 2000;
const MOST_AHEAD = 200;
const MOST_FRUITLESS = 5;
// A turn says something at least every four seconds.
const TURN_SILENCE = 10_000;

/**
 * The story of what this customer hears: facts and fetched history become one order of lines, one draft and one status.
 * `view` shows it: begin, add, draft, withdraw, typing, end, fetched.
 */
export class Conversation {
  #sequence = new Sequence();
  #turns = new Turns();
  // Lines of a conversation that conversation_opened has not announced yet.
  #ahead = [];
  #isFetching = false;
  #fetchAgain = false;
  #fruitless = 0;
  #draftsHeard = 0;
  // The newest draft that came while history was being fetched: older lines must not seem to end its turn.
  #heldDraft = null;
  #silence = null;
  status = null;
  isReady = false;

  constructor(connection, view) {
    this.connection = connection;
    this.view = view;
    connection.on("message_posted", ({ message }) => this.#heard(message));
    connection.on("draft_changed", (draft) => this.#draft(draft));
    connection.on("draft_withdrawn", ({ turn }) => this.#withdraw(turn));
    connection.on("typing_changed", ({ author, is_typing }) => this.#typing(author, is_typing));
    connection.on("conversation_closed", ({ conversation }) => this.#closed(conversation));
  }

  get isActive() {
    return this.status === "active";
  }

  /** The connection stands and the server has named the conversation that goes on, if there is one. */
  opened(conversation) {
    if (!conversation) return this.#none();
    if (conversation.id !== this.#sequence.id) this.#begin(conversation.id);
    return this.catchUp();
  }

  /** An own line, from its ack: the first one of a new conversation may come before conversation_opened. */
  accepted(message) {
    const isNew = message.conversation_id !== this.#sequence.id;
    if (isNew && !this.isActive && message.number === 1) this.#begin(message.conversation_id);
    this.#posted(message);
  }

  /** Fetches what is missing. Live facts that come meanwhile wait in the sequence for their number. */
  async catchUp() {
    this.#fetchAgain = true;
    if (this.#isFetching) return;
    this.#isFetching = true;
    const { last } = this.#sequence;
    let more = false;
    do {
      this.#fetchAgain = false;
      more = await this.#fetch();
    } while (more || this.#fetchAgain);
    this.#isFetching = false;
    this.#fillGapLater(this.#sequence.last > last);
    if (this.isReady) this.view.fetched();
  }

  #none() {
    if (this.#sequence.id) this.#end();
    this.isReady = true;
    this.view.fetched();
  }

  // A line of the other side is what its turn has become: facts come in the order in which things happened.
  #heard(message) {
    if (message.author !== "customer") {
      this.#draftsHeard += 1;
      this.#turns.end();
      if (this.#heldDraft) this.#turns.end(this.#heldDraft.turn);
      this.#heldDraft = null;
    }
    this.#posted(message);
  }

  #posted(message) {
    if (message.conversation_id !== this.#sequence.id) return this.#keepAhead(message);
    for (const due of this.#sequence.offer(message)) this.view.add(due);
    if (this.#sequence.hasGap && !this.#isFetching) this.catchUp();
  }

  // Returns whether there is more to fetch.
  async #fetch() {
    if (!this.#sequence.id) return false;
    const { id, last: after } = this.#sequence;
    const heard = this.#draftsHeard;
    const { ok, error } = await this.connection.command("catch_up", { after });
    if (error) return this.#fetchFailed(error);
    for (const message of ok.messages) this.#posted(message);
    if (id !== this.#sequence.id) return false;
    if (ok.more) return this.#sequence.last > after;
    // What was heard of drafts while this answer was on its way is newer than the answer.
    this.#settleDraft(heard === this.#draftsHeard ? ok.draft : this.#heldDraft, heard === this.#draftsHeard);
    if (ok.status === "closed") this.#end();
    this.isReady = true;
    return false;
  }

  #fetchFailed({ code, details }) {
    if (details?.timed_out) this.connection.renew();
    else if (this.connection.isConnected && (code === "unavailable" || code === "rate_limited"))
      setTimeout(() => this.catchUp(), 1000 * (details?.retry_after ?? 0) || RETRY_DELAY);
    return false;
  }

  // A gap that the history does not fill is asked for again, but not for ever.
  #fillGapLater(hasGrown) {
    this.#fruitless = hasGrown || !this.#sequence.hasGap ? 0 : this.#fruitless + 1;
    if (this.#sequence.hasGap && this.#fruitless < MOST_FRUITLESS) setTimeout(() => this.catchUp(), RETRY_DELAY);
  }

  #keepAhead(message) {
    if (this.#ahead.length < MOST_AHEAD) this.#ahead.push(message);
  }

  #begin(id) {
    if (this.#sequence.id) this.#end();
    this.#sequence = new Sequence(id);
    this.status = "active";
    this.view.begin(id);
    const ahead = this.#ahead.filter((message) => message.conversation_id === id);
    this.#ahead = [];
    for (const message of ahead) this.#posted(message);
  }

  #draft(draft) {
    this.#draftsHeard += 1;
    if (this.#isFetching) this.#heldDraft = draft;
    else this.#showDraft(draft);
  }

  #showDraft({ turn, text }) {
    if (!this.isActive || !this.#turns.accept(turn)) return;
    this.view.draft(turn, text);
    this.#expectMore();
  }

  #withdraw(turn) {
    this.#draftsHeard += 1;
    if (this.#heldDraft?.turn === turn) this.#heldDraft = null;
    if (this.#turns.running === turn) this.view.withdraw();
    this.#turns.end(turn);
  }

  #settleDraft(draft, isWhole) {
    this.#heldDraft = null;
    if (draft) return this.#showDraft(draft);
    if (!isWhole) return;
    this.#turns.end();
    this.view.withdraw();
  }

  // A turn that fell silent has ended where we could not hear it.
  #expectMore() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#turns.running && this.connection.isConnected && this.catchUp(), TURN_SILENCE);
  }

  #typing(author, isTyping) {
    if (author === "customer") return;
    this.view.typing(isTyping && this.isActive);
    if (isTyping && this.#turns.running) this.#expectMore();
  }

  #closed({ id, last_number }) {
    if (id !== this.#sequence.id) return;
    // The end is shown after the last line, so lines that were missed come first.
    if (last_number > this.#sequence.last) this.catchUp();
    else this.#end();
  }

  #end() {
    if (this.status === "closed") return;
    this.status = "closed";
    this.#turns.end();
    this.view.end(this.#sequence.id);
  }
}
