const UNREACHABLE = "The server cannot be reached. Nothing you typed is lost: try again when the connection is back.";
const FAILED = "That did not work just now. Nothing you typed is lost: please try again.";
const SHOWN_FOR = 5_000;

/** Says what became of a request where the answer itself cannot: #problem when it failed, #said until the next one. */
export function showOutcomes() {
  let clearing = null;
  on("htmx:before:request", (event) => {
    if (isBackground(event)) return;
    put("problem", "");
    put("said", "");
  });
  on("htmx:response:error", (event) => {
    if (event.detail.ctx.response.status >= 500 && !isBackground(event)) put("problem", FAILED);
  });
  on("htmx:error", (event) => {
    if (event.detail.ctx && !isBackground(event)) put("problem", UNREACHABLE);
  });
  on("htmx:after:swap", () => {
    clearTimeout(clearing);
    clearing = setTimeout(() => put("said", ""), SHOWN_FOR);
  });
}

function on(name, listener) {
  document.addEventListener(name, listener);
}

/** A partial that fetches itself again, which nobody asked for and which tries again by itself. */
function isBackground(event) {
  return event.detail.ctx.sourceEvent?.type !== "submit" && event.detail.ctx.sourceEvent?.type !== "click";
}

function put(id, words) {
  const region = document.getElementById(id);
  region.replaceChildren();
  if (!words) return;
  if (id === "problem") {
    const banner = document.createElement("p");
    banner.className = "banner banner-danger";
    banner.textContent = words;
    region.append(banner);
  } else {
    region.textContent = words;
  }
}
