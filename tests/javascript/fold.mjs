// The console's own list, told facts: `node fold.mjs path/to/watched.js < {me, page, facts}` prints what it then holds.
import { readFileSync } from "node:fs";

const { Watched, needsHuman } = await import(process.argv[2]);
const { me, page, facts } = JSON.parse(readFileSync(0, "utf8"));
const watched = new Watched(me);
watched.fetching();
watched.fetched({ ...page, rows: page.conversations });
const gaps = facts.filter(([name, fact]) => watched.hear(name, fact) === "fetch" && watched.matches(watched.rows.get(fact.conversation_id) ?? {}, "all"));
const rows = watched.shown("all", null);
console.log(JSON.stringify({ rows, counts: watched.counts, needing: rows.filter(needsHuman).length, gaps: gaps.length }));
