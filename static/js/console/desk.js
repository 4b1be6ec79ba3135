import { VERSIONED } from "./facts.js";
import { Announcer } from "./announcer.js";
import { fillAssistants, findAssistant } from "./assistants.js";
import { CloseDialog } from "./close.js";
import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { showConnection } from "./connection_state.js";
import { Foot, showProblem } from "./foot.js";
import { List } from "./list.js";
import { authorLabel } from "./names.js";
import { freshTeams, showNoSeat, showSuspended } from "./no_seat.js";
import { Notices } from "./notices/notices.js";
import { Opening } from "./opening.js";
import { Outbox } from "./outbox.js";
import { currentRoute, goTo, leaveConversation } from "./route.js";
import { Screen } from "./screen.js";
import { takeOver } from "./take_over.js";
import { Transcript } from "./transcript.js";
import { Typing } from "./typing.js";
import { Unsent } from "./unsent.js";
import { Watching } from "./watching.js";

const part = (id) => document.getElementById(id);
const isLookedAt = () => document.visibilityState === "visible" && document.hasFocus();
const chosenFilter = () => document.querySelector("input[name=filter]:checked").value;

/** The agent's desk: puts the parts together and says what follows from what. */
export class Desk {
  constructor(data) {
    this.data = data;
    this.team = null;
    this.place = { me: null, assistant: null };
    this.makeParts();
    this.makeViews();
    this.listen();
  }

  makeParts() {
    this.unsent = new Unsent(this.data.user.id);
    this.connection = new Connection({ onState: (state) => this.connectionChanged(state), onFact: (name, fact) => this.hear(name, fact), onLive: () => this.live() });
    this.watching = new Watching({
      connection: this.connection,
      onChange: () => this.screen.listChanged(),
      onListed: (rows) => this.notices.listed(rows),
      onRefused: (refusal) => this.watchRefused(refusal),
    });
    this.opening = new Opening({
      connection: this.connection,
      onChange: () => this.screen.changed(),
      onLines: (lines) => this.linesCame(lines),
      onMissing: () => this.screen.missing(),
    });
    this.typing = new Typing({ me: () => this.place.me, onChange: () => this.screen.changed() });
    this.outbox = new Outbox({ unsent: this.unsent, onChange: () => this.screen.changed(), post: (send) => this.post(send) });
    this.notices = new Notices({
      userId: this.data.user.id,
      servedAt: this.data.served_at,
      onOpen: (assistantId, id) => this.openAt(assistantId, id),
      mayNotice: (assistantId, conversation) => this.mayNotice(assistantId, conversation),
      isRead: (id) => id === this.opening.id && isLookedAt(),
    });
  }

  makeViews() {
    this.announcer = new Announcer(part("announcer"));
    this.list = new List({ element: part("conversations"), pill: part("new-conversations"), onOpen: (id) => this.openConversation(id) });
    this.transcript = new Transcript({
      scroller: part("transcript"),
      onOlder: () => this.opening.older(),
      onSeen: () => this.screen.seen(),
      onRetry: (clientId) => this.outbox.retry(clientId),
      onDiscard: (clientId) => this.outbox.discard(clientId),
    });
    this.composer = new Composer({ unsent: this.unsent, onSend: (id, text) => this.send(id, text), onTyping: (id, isTyping) => this.tellTyping(id, isTyping) });
    this.foot = new Foot({ composer: this.composer, onTakeOver: () => takeOver(this) });
    this.closing = new CloseDialog({ onClose: (id, outcomeId, note) => this.close(id, outcomeId, note) });
    this.screen = new Screen(this);
  }

  listen() {
    part("assistant").addEventListener("change", (event) => this.pick(event.target.value));
    part("close-conversation").addEventListener("click", () => this.closing.ask(this.opening.id, this.team.outcomes));
    part("back").addEventListener("click", () => leaveConversation(this.place.assistant.id));
    part("check-again").addEventListener("click", () => location.reload());
    part("more-conversations").addEventListener("click", () => this.watching.more().catch(() => {}));
    part("sign-out").form.addEventListener("submit", () => this.unsent.forgetAll());
    for (const radio of document.querySelectorAll("input[name=filter]")) radio.addEventListener("change", () => this.arrange());
    part("order").addEventListener("change", () => this.arrange());
    for (const moved of ["popstate", "hashchange"]) addEventListener(moved, () => this.follow());
    document.addEventListener("visibilitychange", () => this.screen.changed());
    for (const back of ["visibilitychange", "focus"]) addEventListener(back, () => this.attend());
  }

  open() {
    fillAssistants(part("assistant"), this.data.teams);
    this.connection.open();
    this.follow();
  }

  // --- where we are ---

  /** Makes the desk show what the address says. */
  follow() {
    const route = currentRoute();
    const found = findAssistant(this.data.teams, route.assistantId);
    if (!found) return this.screen.noAssistants();
    if (found.assistant.id !== this.place.assistant?.id) this.sit(found);
    if (this.screen.isNotice("no-seat")) return;
    const id = route.assistantId === found.assistant.id ? route.conversationId : null;
    if (id !== this.opening.id) this.turnTo(id);
    this.attend();
  }

  /** Whoever has it before their eyes need not be called to it again. */
  attend() {
    if (this.opening.id && isLookedAt()) this.notices.settle(this.opening.id);
  }

  sit({ team, assistant }) {
    this.team = team;
    this.place = { me: team.member_id, assistant };
    this.turnTo(null);
    this.list.reset();
    this.typing.stopAll();
    this.notices.reset();
    part("assistant").value = assistant.id;
    part("settings").href = `/teams/${encodeURIComponent(team.id)}/`;
    this.showSeat();
  }

  /** What this member's seat lets them see: everything, what is theirs (the seat is suspended), or whom to ask for one. */
  showSeat() {
    const { seat, member_id: me } = this.team;
    if (seat === null) return this.showNoSeat();
    this.screen.showDesk();
    showSuspended(seat === "suspended" ? this.team : null);
    const [filter, order] = seat === "suspended" ? ["mine", "need"] : [chosenFilter(), part("order").value];
    this.watching.start(this.place.assistant, me, filter, order);
  }

  pick(assistantId) {
    goTo(assistantId, null);
    this.follow();
  }

  /** Another filter or order. */
  arrange() {
    this.list.reset();
    this.watching.show(chosenFilter(), part("order").value);
  }

  openConversation(id) {
    this.openAt(this.place.assistant.id, id);
  }

  openAt(assistantId, id) {
    goTo(assistantId, id);
    this.follow();
  }

  turnTo(id) {
    showProblem(null);
    this.transcript.clear();
    this.announcer.clear();
    if (id) this.opening.open(id);
    else this.opening.leave();
    this.screen.turned();
  }

  showNoSeat() {
    this.watching.stop();
    this.opening.leave();
    showNoSeat(this.team);
    this.screen.notice("no-seat");
  }

  async watchRefused(refusal) {
    if (refusal.code === "second_factor") return location.assign("/account/second-factor/?next=/console");
    if (refusal.code !== "no_seat") return this.screen.missing();
    this.team = { ...this.team, seat: null };
    await this.learnSeat();
    this.showSeat();
  }

  /** The seat as it is now: it may have ended, been suspended or come back while the page was open. */
  async learnSeat() {
    try {
      this.data.teams = await freshTeams();
      this.team = this.data.teams.find((team) => team.id === this.team.id) ?? this.team;
    } catch {
      /* the words stay true, the names may be old */
    }
  }

  /** Somebody's seat began or ended: with an owner's seat, what others may take over, which no conversation's fact tells. */
  async seatsChanged() {
    if (this.screen.isNotice("no-seat")) return location.reload();
    this.watching.fetchSoon();
    this.opening.fetch();
    if (this.team?.seat !== "suspended") return;
    await this.learnSeat();
    if (this.team.seat !== "suspended") this.showSeat();
  }

  /** Somebody made, renamed or archived an assistant or an outcome: one look at the new lists for a burst of changes, and not
      by everybody at once. */
  listsChanged() {
    clearTimeout(this.learning);
    this.learning = setTimeout(() => this.learnLists(), 200 + Math.random() * 800);
  }

  async learnLists() {
    if (!this.team) return location.reload();
    await this.learnSeat();
    fillAssistants(part("assistant"), this.data.teams);
    if (this.place.assistant) part("assistant").value = this.place.assistant.id;
  }

  // --- what comes ---

  connectionChanged(state) {
    showConnection(part("connection"), state);
    this.foot?.live(state.name === "live");
    if (state.name !== "live") this.typing?.stopAll();
  }

  /** A new connection knows nothing of what we watched: ask for all of it again, from what we hold. */
  live() {
    this.watching.fetch();
    this.opening.fetch();
    this.outbox.resume();
  }

  hear(name, fact) {
    if (name === "typing_changed") return this.typing.hear(fact);
    if (name === "seats_changed") return this.seatsChanged();
    if (name === "assistants_changed" || name === "outcomes_changed") return this.listsChanged();
    if (name === "message_posted") this.typing.stop(fact.conversation_id, fact.message.author);
    if (name === "conversation_taken_over") this.takenOver(fact);
    if (name === "conversation_closed") this.closing.dismiss(fact.conversation_id);
    if (VERSIONED.includes(name)) this.watching.hear(name, fact);
    if (VERSIONED.includes(name)) this.notices.hear(name, fact, this.watching.watched.rows.get(fact.conversation_id));
    if (VERSIONED.includes(name) || name.startsWith("draft_")) this.opening.hear(name, fact);
  }

  /** Not what a colleague has, and only to whoever could take it over. One that the list does not hold may be anybody's. */
  mayNotice(assistantId, conversation) {
    const isFree = !conversation?.owner || conversation.owner.id === this.place.me;
    return this.team?.seat === "held" && assistantId === this.place.assistant.id && isFree;
  }

  linesCame(lines) {
    const { conversation } = this.opening.opened;
    const others = lines.filter((line) => line.agent?.id !== this.place.me || line.author !== "agent");
    for (const line of others) this.announcer.say(`${authorLabel(line, conversation, this.place)}: ${line.text}`);
    this.transcript.came(others.length);
  }

  takenOver({ conversation_id: id, conversation }) {
    this.typing.stop(id, "assistant");
    if (id !== this.opening.id) return;
    const isMine = conversation.owner?.id === this.place.me;
    this.announcer.say(isMine ? "You have this conversation now." : `${conversation.owner?.name} took over this conversation.`);
  }

  // --- what the agent does ---

  send(id, text) {
    this.transcript.isAtBottom = true;
    this.outbox.add(id, text);
  }

  post({ conversation_id, client_id, text }) {
    return this.connection.ask("post_message", { conversation_id, client_id, text });
  }

  tellTyping(id, isTyping) {
    this.connection.ask("typing", { conversation_id: id, is_typing: isTyping }).catch(() => {});
  }

  close(id, outcomeId, note) {
    return this.connection.ask("close_conversation", { conversation_id: id, outcome_id: outcomeId, note });
  }
}
