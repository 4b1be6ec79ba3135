const FACTS = ["widgets_changed", "came_back"];

/** Keeps a widget's form up with other admins, as long as nothing typed stands in it: what is typed is settled by the save. */
export function keepWidgetForm() {
  const again = document.getElementById("widget-again");
  if (!again) return;
  for (const fact of FACTS)
    document.body.addEventListener(fact, () => isTouched() || again.dispatchEvent(new CustomEvent("again")));
  // Somebody may have begun to type while the answer was on its way.
  again.addEventListener("htmx:before:swap", (event) => isTouched() && event.preventDefault());
}

function isTouched() {
  const { elements } = document.getElementById("widget-form");
  const shown = JSON.parse(elements.shown.value || "{}");
  return Object.entries(shown).some(([name, value]) => valueOf(elements, name) !== value);
}

function valueOf(elements, name) {
  return elements[`${name}_same`]?.checked ? "" : elements[name].value.trim();
}
