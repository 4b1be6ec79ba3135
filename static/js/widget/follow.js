const CLOSE_ENOUGH = 48;
const MARGIN = 24;

/** Keeps the newest line in view while the customer is at the bottom, and offers the way back when they are not. */
export class Follow {
  #isFollowing = true;

  constructor() {
    this.view = document.getElementById("transcript");
    this.newest = document.getElementById("newest");
    this.view.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.newest.addEventListener("click", () => this.toEnd());
    const grown = new ResizeObserver(() => this.#isFollowing && this.#jump());
    grown.observe(this.view);
    grown.observe(document.getElementById("lines"));
  }

  /** Something new came in: says so where it would not be seen. */
  arrived() {
    if (!this.#isFollowing) this.newest.hidden = false;
  }

  toEnd() {
    this.#isFollowing = true;
    this.newest.hidden = true;
    this.#jump();
  }

  /** The customer's own new line comes into view, even above a draft that is taller than the window. */
  show(line) {
    this.toEnd();
    if (!line || line.offsetTop >= this.view.scrollTop) return;
    this.#isFollowing = false;
    this.view.scrollTop = line.offsetTop - MARGIN;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.view;
    this.#isFollowing = scrollHeight - clientHeight - scrollTop < CLOSE_ENOUGH;
    if (this.#isFollowing) this.newest.hidden = true;
  }

  #jump() {
    this.view.scrollTop = this.view.scrollHeight;
  }
}
