import { setText } from "../shared/clone.js";
import { closedLabel, ownership } from "./names.js";

const part = (id) => document.getElementById(id);

/**
 * What can be done with the open conversation: take it over, write, or read who has it. Where the take-over button was, the
 * composer comes.
 */
export class Foot {
  constructor({ onTakeOver, composer }) {
    Object.assign(this, { composer, isTaking: false, isLive: false });
    part("take-over").addEventListener("click", async () => {
      if (this.isTaking) return;
      this.setTaking(true);
      await onTakeOver();
      this.setTaking(false);
    });
  }

  show(conversation, place) {
    const stand = conversation ? this.standing(conversation, place) : "none";
    part("answering").hidden = stand !== "answering";
    part("taken").hidden = stand !== "taken";
    part("ended").hidden = stand !== "ended";
    if (stand === "answering") this.showAnswering(conversation, place);
    if (stand === "taken") setText(part("taken"), `${conversation.owner.name} has this conversation.`);
    if (stand === "ended") setText(part("ended"), `${closedLabel(conversation)}. The customer’s next message opens a new conversation.`);
    this.composer.show(stand === "mine" ? conversation.id : null);
    this.refresh();
  }

  showAnswering(conversation, place) {
    setText(part("answering-text"), answering(conversation, place));
    part("answering").querySelector(".dot").style.backgroundColor = place.assistant.color ?? "";
  }

  standing(conversation, place) {
    if (conversation.status !== "active") return "ended";
    const whose = ownership(conversation, place);
    if (whose === "mine") return "mine";
    return whose === "other" && !conversation.owner_absent ? "taken" : "answering";
  }

  /** Taking over cannot wait for the connection: by then somebody else may have it. */
  live(isLive) {
    this.isLive = isLive;
    this.refresh();
  }

  setTaking(isTaking) {
    this.isTaking = isTaking;
    this.refresh();
  }

  refresh() {
    const button = part("take-over");
    // Not `disabled`: that would drop the focus of whoever has just pressed it.
    button.setAttribute("aria-disabled", String(this.isTaking || !this.isLive));
    setText(button, this.isTaking ? "Taking over…" : "Take over");
    button.title = this.isLive ? "" : "Not while you are offline";
  }
}

function answering(conversation, place) {
  if (conversation.owner_absent) return `${conversation.owner.name} had this conversation and is no longer an agent`;
  return `Assistant ${place.assistant.name} is answering`;
}

/** Says in place why the last action was refused; without words it goes away. */
export function showProblem(words) {
  part("problem").hidden = !words;
  part("problem").textContent = words ?? "";
}
