/** Shows the copy buttons and lets them copy, in the page and in whatever is swapped in; without this module the text is there
    to be selected. */
export function offerCopying() {
  offer();
  document.addEventListener("htmx:after:swap", offer);
}

function offer() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) {
    const text = document.getElementById(button.dataset.copy);
    button.hidden = false;
    // A swap that leaves them in their place hides the button again, and it must not copy twice.
    button.onclick = () => copy(text);
    text.onfocus = () => text.select();
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
