import { clockTime } from "../shared/clock.js";

const WORDS = {
  connecting: () => "Connecting…",
  live: () => "Live",
  reconnecting: () => "Reconnecting…",
  offline: ({ since }) => `Offline since ${clockTime(since)}`,
  reload: () => "This page is out of date.",
};

/** Says in #connection what the connection really is. The words change only with the state: it is read aloud. */
export function showConnection(element, state) {
  const words = WORDS[state.name](state);
  if (element.dataset.state === state.name && element.textContent === words) return;
  element.dataset.state = state.name;
  element.textContent = words;
  if (state.name === "reload") element.append(" ", reloadButton());
}

function reloadButton() {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Reload";
  button.addEventListener("click", () => location.reload());
  return button;
}
