import { showProblem } from "./foot.js";

const LATE = 1500;

/**
 * Asks for the open conversation. The screen changes by the fact, as everybody's does; here only a refusal has something to
 * say, and a fact that does not come is fetched.
 */
export async function takeOver({ connection, opening, screen }) {
  if (!connection.isLive) return;
  showProblem(null);
  const { id } = opening;
  try {
    const { conversation } = await connection.ask("take_over", { conversation_id: id });
    if (id !== opening.id) return;
    screen.focusComposerOnce();
    setTimeout(() => catchUpTo(opening, id, conversation.version), LATE);
  } catch (refusal) {
    if (id === opening.id) showProblem(problem(refusal));
  }
}

function catchUpTo(opening, id, version) {
  if (id === opening.id && opening.isReady && opening.opened.conversation.version < version) opening.fetch();
}

function problem({ code, message, details }) {
  if (code === "already_taken") return `${details.owner?.name ?? "Another agent"} was first and has this conversation now.`;
  if (code === "closed") return "This conversation has closed meanwhile.";
  return `Not taken over: ${message}`;
}
