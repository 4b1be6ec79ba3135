const part = (id) => document.getElementById(id);

/** Instead of the desk: this member holds no seat, who does, and whom to ask. */
export function showNoSeat(team) {
  const isSuspended = team.seat === "suspended";
  part("no-seat-title").textContent = isSuspended ? "Your seat is suspended" : `You have no seat in ${team.name}`;
  part("no-seat-text").textContent = isSuspended
    ? "The plan has fewer seats now than people who held one. You cannot watch or take over conversations until a seat is free."
    : "A seat lets a member watch an assistant’s conversations and take them over.";
  showHolders(team.seats);
  showWhomToAsk(team);
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
  const manages = team.role === "owner" || team.role === "admin";
  part("no-seat-ask").textContent = manages
    ? `You manage ${team.name}: give yourself a seat in the settings.`
    : `Ask ${oneOf(team.admins)} for a seat${team.seats.used >= team.seats.limit ? ", or one of the people above to give theirs back" : ""}.`;
  part("no-seat-settings").hidden = !manages;
  part("no-seat-settings").href = `/teams/${encodeURIComponent(team.id)}/`;
}
