let repeats = null; // the fact to look at again when the reader's own request has been answered

/**
 * Nobody's text is overwritten by what a colleague saves. A part of the page that fetched itself again gives way only where
 * something is new in it (its data-version, held here by what data-version-at names) and nobody writes in it; otherwise its
 * [data-stale] says that it changed.
 */
export function keepTyped() {
  document.addEventListener("htmx:before:swap", ({ detail: { ctx, tasks } }) => {
    if (["submit", "click"].includes(ctx.sourceEvent?.type)) return;
    const kept = tasks.filter((task) => mayReplace(task, ctx.sourceEvent?.type));
    tasks.splice(0, tasks.length, ...kept);
  });
  document.addEventListener("htmx:finally:request", () => {
    if (!repeats || document.querySelector("form.htmx-request")) return;
    const fact = repeats;
    repeats = null;
    document.body.dispatchEvent(new CustomEvent(fact));
  });
}

function mayReplace({ target, fragment }, fact) {
  // Who has just been refused something reads why first: the first connection may come after that answer.
  if (fact === "came_back" && target?.querySelector("[role=alert]")) return false;
  const next = fragment.querySelector("[data-version]")?.dataset.version;
  if (!target?.dataset.version || next === undefined) return true;
  if (next === heldBy(target)) return false;
  if (forms(target).some((form) => form.classList.contains("htmx-request"))) {
    repeats = fact;
    return false;
  }
  if (isWrittenIn(target)) {
    target.querySelector("[data-stale]")?.removeAttribute("hidden");
    return false;
  }
  // A control that was typed in and emptied again would not follow its new default.
  for (const form of forms(target)) form.reset();
  return true;
}

function heldBy(target) {
  const place = target.dataset.versionAt ? document.querySelector(target.dataset.versionAt) : target;
  return place?.dataset.version;
}

function forms(target) {
  return [...(target.matches("form") ? [target] : []), ...target.querySelectorAll("form")];
}

function isWrittenIn(target) {
  if (target.matches("[data-unsaved]") || target.querySelector(".entry-form")) return true;
  return [...target.querySelectorAll("input, textarea, option")].some(isChanged);
}

function isChanged(control) {
  if (control.localName === "option") return control.defaultSelected && !control.selected;
  if (control.type === "hidden" || control.type === "search") return false;
  if (control.type === "radio" || control.type === "checkbox") return control.checked !== control.defaultChecked;
  return control.value !== control.defaultValue;
}
