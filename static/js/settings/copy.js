/** Shows the copy buttons and lets them copy; without this module the text is there to be selected. */
export function offerCopying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const text = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", () => copy(text));
    text.addEventListener("focus", () => text.select());
  }
}

async function copy(text) {
  const said = document.getElementById("said");
  try {
    await navigator.clipboard.writeText(text.value);
    said.textContent = "Copied.";
  } catch {
    // Not over plain HTTP, or not allowed: the text stands selected for Ctrl+C.
    text.focus();
    said.textContent = "Select Copy in your browser: the text is marked.";
  }
}
