/** The dropdown of all assistants, a group for each team. */
export function fillAssistants(select, teams) {
  select.replaceChildren(...teams.map(group));
  select.disabled = select.options.length === 0;
}

function group(team) {
  const element = document.createElement("optgroup");
  element.label = team.name + ({ held: "", suspended: " (seat suspended)" }[team.seat] ?? " (no seat)");
  element.append(...team.assistants.map(({ id, name }) => new Option(name, id)));
  return element;
}

/** {team, assistant} of an id; without a known one the first where there is a seat, else the first of all. */
export function findAssistant(teams, id) {
  const all = teams.flatMap((team) => team.assistants.map((assistant) => ({ team, assistant })));
  return all.find((one) => one.assistant.id === id) ?? all.find((one) => one.team.seat === "held") ?? all[0] ?? null;
}
