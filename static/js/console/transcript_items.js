/**
 * What stands in a transcript, in order. Pure. Takeovers, signals and notes have no number: they come after one, and among
 * themselves by their time.
 *
 * An item: {key, kind, value, state, at: [number, rank, time]}.
 */
export function itemsOf(opened, sends) {
  const first = opened.more ? (opened.firstNumber ?? 0) : 0;
  const marks = [
    ...opened.takeovers.map((value) => mark("takeover", value, value.taken_at)),
    ...opened.signals.map((value) => mark("signal", value, value.raised_at)),
    ...opened.notes.map((value) => mark("note", value, value.written_at)),
  ].filter((item) => item.at[0] >= first); // those of lines that are not held would stand in a false place
  const messages = opened.messages.map((value) => ({ key: `m${value.number}`, kind: "message", value, at: [value.number, 0, 0] }));
  return [...messages, ...marks, ...closed(opened), ...unsent(opened, sends)].sort(inOrder);
}

function mark(kind, value, time) {
  return { key: `${kind}${value.id}`, kind, value, at: [value.after ?? 0, 1, time ?? 0] };
}

function closed({ conversation, takeovers }) {
  if (conversation.status === "active") return [];
  return [{ key: "closed", kind: "closed", value: conversation, state: takeovers.at(-1)?.note, at: [Infinity, 0, 0] }];
}

/** One line is never shown twice: a send leaves as soon as its message is held, by client_id or by number. */
function unsent({ messages }, sends) {
  const held = new Set(messages.map((message) => message.client_id).filter(Boolean));
  const last = messages.at(-1)?.number ?? 0;
  return sends
    .filter((send) => !held.has(send.client_id) && !(send.state === "sent" && send.number <= last))
    .map((value, index) => ({ key: `s${value.client_id}`, kind: "send", value, state: `${value.state} ${value.problem?.message}`, at: [Infinity, 1, index] }));
}

function inOrder(one, other) {
  for (const index of [0, 1, 2]) {
    // Infinity - Infinity is no number.
    if (one.at[index] !== other.at[index]) return one.at[index] < other.at[index] ? -1 : 1;
  }
  return one.key < other.key ? -1 : 1;
}
