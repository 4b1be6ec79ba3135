"""The indexes over assistants' entries that are at hand; one is made anew when the knowledge has changed."""

import asyncio

from handoff.assistants.retrieval import Knowledge
from handoff.database import Database
from handoff.models import Entry

KEPT = 200  # indexes held at once


class Shelf:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._knowledge: dict[str, tuple[int, Knowledge]] = {}

    async def knowledge(self, assistant_id: str, version: int) -> Knowledge:
        held, knowledge = self._knowledge.get(assistant_id, (-1, None))
        if knowledge is None or held != version:
            entries = await self._database.read(_entries, assistant_id)
            knowledge = await asyncio.to_thread(Knowledge, entries)
            while len(self._knowledge) >= KEPT:
                self._knowledge.pop(next(iter(self._knowledge)))
            self._knowledge[assistant_id] = (version, knowledge)
        return knowledge


def _entries(assistant_id: str) -> list[tuple[str, str]]:
    rows = Entry.select(Entry.question, Entry.answer).where(Entry.assistant == assistant_id).order_by(Entry.id)
    return list(rows.tuples())
