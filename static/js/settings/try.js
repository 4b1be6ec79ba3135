/** The box to try an assistant: its answer grows while it comes. Without this module the form shows the whole answer as a page. */
export function offerTrying() {
  const form = document.querySelector("form[data-trial]");
  if (!form) return;
  let asked = null;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    asked?.abort();
    asked = new AbortController();
    ask(form, asked.signal);
  });
  addEventListener("pagehide", () => asked?.abort());
}

async function ask(form, signal) {
  const tried = new Tried();
  try {
    const response = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "text/event-stream" },
      signal,
    });
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) return tried.refuse(await words(response));
    tried.begin();
    for await (const event of events(response.body)) tried.take(event);
    if (!tried.ended) tried.take({ fault: "The connection was lost.", times: "" });
  } catch {
    if (!signal.aborted) tried.refuse("Handoff cannot be reached. Try again.");
  }
}

async function words(response) {
  if (response.headers.get("Content-Type")?.startsWith("application/json")) return (await response.json()).refused;
  return "That did not work. Load the page again.";
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part.slice("data: ".length));
  }
}

class Tried {
  ended = false;

  constructor() {
    for (const name of ["refused", "question"]) this[name] = document.getElementById(`trial-${name}`);
    for (const name of ["text", "would", "fault", "times"]) this[name] = document.getElementById(`tried-${name}`);
    this.box = document.getElementById("tried");
  }

  refuse(said) {
    this.box.hidden = true;
    this.refused.textContent = said;
    this.question.setAttribute("aria-invalid", "true");
    this.question.focus();
  }

  begin() {
    this.refused.textContent = "";
    this.question.removeAttribute("aria-invalid");
    this.text.textContent = "";
    this.would.replaceChildren();
    this.fault.hidden = true;
    this.times.textContent = "Waiting for the first word …";
    this.box.hidden = false;
  }

  take({ text, would, times, fault }) {
    if (text) {
      this.text.textContent += text;
      this.times.textContent = "";
    }
    if (would) {
      const item = document.createElement("li");
      item.textContent = `It would ${would}`;
      this.would.append(item);
    }
    if (times !== undefined) {
      this.ended = true;
      this.times.textContent = times;
      this.fault.textContent = fault ?? "";
      this.fault.hidden = !fault;
    }
  }
}
