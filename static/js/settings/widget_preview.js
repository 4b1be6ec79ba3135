import { applyLook } from "../widget/look.js";

const QUESTION = "How do I see my own lines?";
const COLORS = ["color", "line_color"];

/** Shows beside a widget's form how it would look, as the widget's own script paints it. */
export function previewWidget() {
  const form = () => document.getElementById("widget-form");
  if (!form()) return;
  show(form());
  document.addEventListener("input", ({ target }) => target.form === form() && typed(target));
  // htmx would carry the style over as text, which the page's policy forbids; it is painted again afterwards.
  document.addEventListener("htmx:before:swap", () => document.getElementById("widget-preview").removeAttribute("style"));
  for (const then of ["htmx:after:swap", "htmx:finally:request"]) document.addEventListener(then, () => show(form()));
}

function typed(field) {
  // Whoever chooses a colour wants it.
  if (COLORS.includes(field.name)) field.form.elements[`${field.name}_same`].checked = false;
  show(field.form);
}

function show({ elements }) {
  const preview = document.getElementById("widget-preview");
  const { color: inherited, greeting } = preview.dataset;
  const [color, lineColor] = COLORS.map((name) => (elements[`${name}_same`].checked ? "" : elements[name].value));
  applyLook(color || inherited, lineColor || color || inherited, preview);
  put(preview, "launcher", elements.launcher.value.trim());
  put(preview, "greeting", elements.greeting.value.trim() || greeting);
  put(preview, "question", elements.suggestions.value.trim().split("\n")[0] || QUESTION);
  preview.lang = elements.language.value;
  preview.hidden = false;
}

function put(preview, name, text) {
  const place = preview.querySelector(`[data-preview=${name}]`);
  place.textContent = text;
  place.hidden = !text;
}
