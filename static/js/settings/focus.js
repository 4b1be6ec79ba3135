/** Where a swap took the focused control away and put no other in its place, the section's heading gets the focus. */
export function keepFocus() {
  let heading = null;
  document.addEventListener("htmx:before:request", (event) => {
    heading = event.target.closest?.("section")?.querySelector("h2[tabindex]") ?? heading;
  });
  document.addEventListener("htmx:finally:request", () => {
    if (document.activeElement === document.body && heading?.isConnected) heading.focus();
    heading = null;
  });
}
