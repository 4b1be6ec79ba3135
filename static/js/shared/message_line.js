import { clockTime } from "./clock.js";

/**
 * Fills a copy of templates/messages/_message.html. `html` is the server's sanitised rendering and the only thing that
 * ever goes in as markup; everything a person wrote goes in as text.
 */
export function fillMessage(element, message, label) {
  element.dataset.author = message.author;
  if (message.number != null) element.dataset.number = message.number;
  element.querySelector(".message-author").textContent = label;
  fillTime(element.querySelector(".message-time"), message.sent_at);
  fillText(element, message);
}

function fillTime(element, at) {
  if (at == null) return;
  element.dateTime = new Date(at).toISOString();
  element.textContent = clockTime(at);
}

function fillText(element, { text, html }) {
  const body = element.querySelector(".message-text");
  element.classList.toggle("is-html", html != null);
  if (html != null) body.innerHTML = html;
  else body.textContent = text;
}
