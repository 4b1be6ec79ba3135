"""The indexes over assistants' entries that are at hand; one is made anew when the knowledge has changed."""

import asyncio

from handoff.assistants.retrieval import Knowledge
from handoff.database import Database
from handoff.models import Entry

KEPT = 200  # indexes held at once


class Shelf:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._knowledge: dict[str, tuple[int, asyncio.Task[Knowledge]]] = {}

    async def knowledge(self, assistant_id: str, version: int) -> Knowledge:
        """The index of at least that version, made once: all who ask after a change wait for the same one."""
        held, making = self._knowledge.get(assistant_id, (-1, None))
        if making is None or held < version:
            while len(self._knowledge) >= KEPT:
                self._knowledge.pop(next(iter(self._knowledge)))
            making = asyncio.create_task(self._make(assistant_id))
            self._knowledge[assistant_id] = (version, making)
            making.add_done_callback(lambda made: self._forget_failed(assistant_id, made))
        return await asyncio.shield(making)  # whoever leaves takes it from nobody

    async def _make(self, assistant_id: str) -> Knowledge:
        entries = await self._database.read(_entries, assistant_id)
        return await asyncio.to_thread(Knowledge, entries)

    def _forget_failed(self, assistant_id: str, made: "asyncio.Task[Knowledge]") -> None:
        failed = made.cancelled() or made.exception() is not None
        if failed and self._knowledge.get(assistant_id, (0, None))[1] is made:
            del self._knowledge[assistant_id]


def _entries(assistant_id: str) -> list[tuple[str, str]]:
    rows = Entry.select(Entry.question, Entry.answer).where(Entry.assistant == assistant_id).order_by(Entry.id)
    return list(rows.tuples())
