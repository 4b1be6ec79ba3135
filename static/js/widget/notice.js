/** A line under the header that answers in place, with the buttons that it needs. */
export class Notice {
  constructor() {
    this.element = document.getElementById("notice");
  }

  /** `actions` are [words, callback]; each closes the notice and then calls back. */
  show(text, ...actions) {
    const line = document.createElement("span");
    line.textContent = text;
    const buttons = document.createElement("div");
    buttons.append(...actions.map(([label, act]) => this.#button(label, act)));
    this.element.replaceChildren(line, buttons);
  }

  focus() {
    this.element.querySelector("button")?.focus();
  }

  close() {
    this.element.replaceChildren();
  }

  #button(label, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", () => {
      this.close();
      act?.();
    });
    return button;
  }
}
