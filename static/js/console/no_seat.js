const part = (id) => document.getElementById(id);

/** Instead of the desk: this member holds no seat, who does, and whom to ask. */
export function showNoSeat(team) {
  part("no-seat-title").textContent = `You have no seat in ${team.name}`;
  part("no-seat-text").textContent = "A seat lets a member watch an assistant’s conversations and take them over.";
  showHolders(team.seats);
  showWhomToAsk(team);
}

/** Above the list: a team whose plan has fewer seats now than people who held one, or null where the seat is held. */
export function showSuspended(team) {
  const banner = part("suspended");
  banner.hidden = !team;
  part("main").classList.toggle("is-suspended", Boolean(team));
  if (team) banner.textContent = `Your seat is suspended: the plan has fewer seats now. Finish the conversations you have; you can take no new ones until a seat is free. ${whomToAsk(team)}`;
}

/** The teams as the server knows them now: a seat that ended while the page was open makes what it came with old. */
export async function freshTeams() {
  const page = new DOMParser().parseFromString(await (await fetch("/console")).text(), "text/html");
  return JSON.parse(page.getElementById("console-data").textContent).teams;
}

function showHolders({ used, limit, holders }) {
  part("seat-count").textContent = `${used} of ${limit} ${limit === 1 ? "seat is" : "seats are"} held`;
  part("seat-holders").replaceChildren(...holders.map(({ name }) => Object.assign(document.createElement("li"), { textContent: name })));
}

function oneOf(people) {
  const names = people.map(({ name }) => name);
  return new Intl.ListFormat("en", { type: "disjunction" }).format(names);
}

function showWhomToAsk(team) {
  const manages = isManager(team);
  part("no-seat-ask").textContent = whomToAsk(team);
  part("no-seat-settings").hidden = !manages;
  part("no-seat-settings").href = `/teams/${encodeURIComponent(team.id)}/`;
}

function whomToAsk(team) {
  if (isManager(team)) return `You manage ${team.name}: give yourself a seat in the settings.`;
  return `Ask ${oneOf(team.admins)} for a seat${team.seats.used >= team.seats.limit ? ", or an agent to give theirs back" : ""}.`;
}

function isManager({ role }) {
  return role === "owner" || role === "admin";
}
