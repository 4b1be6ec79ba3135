import { TEXT_LIMIT, codePoints, sendable } from "../shared/text_limit.js";
import { clone } from "../shared/clone.js";

/** The dialog that closes a conversation with one of the team's outcomes and an optional note. */
export class CloseDialog {
  constructor({ onClose }) {
    Object.assign(this, { onClose, id: null, isBusy: false });
    this.dialog = document.getElementById("close-dialog");
    this.outcomes = document.getElementById("close-outcomes");
    this.note = document.getElementById("close-note");
    this.problem = document.getElementById("close-problem");
    this.confirm = document.getElementById("close-confirm");
    this.dialog.querySelector("form").addEventListener("submit", (event) => this.submitted(event));
    document.getElementById("close-cancel").addEventListener("click", () => this.dialog.close());
  }

  ask(conversationId, outcomes) {
    if (this.id !== conversationId) this.note.value = "";
    this.id = conversationId;
    this.outcomes.replaceChildren(...outcomes.map(choice));
    this.outcomes.closest("fieldset").hidden = outcomes.length === 0;
    this.say(null);
    this.dialog.showModal();
    this.outcomes.querySelector("input")?.focus();
  }

  /** It ended without us: the customer left, it aged out, or another tab closed it. */
  dismiss(conversationId) {
    if (this.dialog.open && this.id === conversationId) this.dialog.close();
  }

  async submitted(event) {
    event.preventDefault();
    const chosen = this.outcomes.querySelector("input:checked");
    const note = sendable(this.note.value);
    if (!chosen && this.outcomes.childElementCount) return this.say("Pick an outcome.");
    if (codePoints(note) > TEXT_LIMIT) return this.say(`A note may have ${TEXT_LIMIT} characters.`);
    if (!this.isBusy) await this.send(chosen?.value ?? null, note);
  }

  async send(outcomeId, note) {
    this.setBusy(true);
    try {
      await this.onClose(this.id, outcomeId, note);
      this.note.value = "";
      this.dialog.close();
    } catch (refusal) {
      this.say(`Not closed: ${refusal.message}`);
    } finally {
      this.setBusy(false);
    }
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.confirm.setAttribute("aria-disabled", String(isBusy));
  }

  say(words) {
    this.problem.hidden = !words;
    this.problem.textContent = words ?? "";
  }
}

function choice(outcome) {
  const label = clone("outcome-template");
  label.querySelector("input").value = outcome.id;
  label.querySelector("span").textContent = outcome.name;
  return label;
}
