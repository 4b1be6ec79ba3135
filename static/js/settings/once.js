/**
 * The second half of a double click is no wish of its own: by then the button may have become its opposite, or another row's
 * button may stand there.
 */
export function takeDoubleClicksOnce() {
  addEventListener("click", refuseRepeated, { capture: true });
}

function refuseRepeated(event) {
  if (event.detail < 2 || !event.target.closest("form button, a.button")) return;
  event.preventDefault();
  event.stopPropagation();
}
