/** On a narrow screen the navigation is one long line: bring the page that is open into it. */
export function showWhereWeAre() {
  document.querySelector(".settings-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}
