/** What a screen reader hears: new lines of the open conversation and takeovers. Drafts would talk without end. */
export class Announcer {
  constructor(element) {
    this.element = element;
  }

  say(words) {
    const line = document.createElement("p");
    line.textContent = words;
    this.element.append(line);
    while (this.element.childElementCount > 5) this.element.firstElementChild.remove();
  }

  clear() {
    this.element.replaceChildren();
  }
}
