const inWords = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const precisely = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const withTime = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "short" });

/** Puts the reader's own day in the place of the UTC one, in the page and in whatever is swapped in. */
export function localiseTimes() {
  localise();
  document.addEventListener("htmx:after:swap", localise);
}

function localise() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = ("precise" in time.dataset ? precisely : inWords).format(at);
    time.title = withTime.format(at);
  }
}
