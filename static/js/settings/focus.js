/** Where a swap took the focused control away and put no other in its place, its section's heading gets the focus. A page that
    brings itself up to date while the focus is elsewhere, or nowhere, leaves it there. */
export function keepFocus() {
  let section = null;
  document.addEventListener("htmx:before:request", (event) => {
    const around = event.target.closest?.("section");
    if (around?.contains(document.activeElement)) section = around;
  });
  document.addEventListener("htmx:finally:request", () => {
    if (document.activeElement === document.body) headingOf(section)?.focus();
    section = null;
  });
}

function headingOf(section) {
  const shown = section?.isConnected ? section : section && document.getElementById(section.id);
  return shown?.querySelector("h2[tabindex]");
}
