/** Where a swap took the focused control away and put no other in its place, its section's heading gets the focus. A page that
    brings itself up to date while the focus is elsewhere, or nowhere, leaves it there. */
export function keepFocus() {
  const running = new Set(); // a colleague's change may be fetched while one's own is under way
  let section = null;
  document.addEventListener("htmx:before:request", (event) => {
    running.add(event.detail.ctx);
    const around = event.target.closest?.("section");
    if (around?.contains(document.activeElement)) section = around;
  });
  document.addEventListener("htmx:finally:request", (event) => {
    running.delete(event.detail.ctx);
    if (document.activeElement === document.body) headingOf(section)?.focus();
    if (!running.size) section = null;
  });
}

function headingOf(section) {
  const shown = section?.isConnected ? section : section && document.getElementById(section.id);
  return shown?.querySelector("h2[tabindex]");
}
