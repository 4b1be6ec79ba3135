/** Questions to begin with, as buttons; an empty list hides them. */
export function showSuggestions(suggestions, choose) {
  const group = document.getElementById("suggestions");
  const texts = suggestions ?? [];
  group.hidden = texts.length === 0;
  if (group.childElementCount === texts.length) return;
  group.replaceChildren(...texts.map((text) => suggestionButton(text, choose)));
}

function suggestionButton(text, choose) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", () => choose(text));
  return button;
}
