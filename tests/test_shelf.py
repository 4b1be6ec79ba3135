"""The index over an assistant's entries: large ones take seconds to make, so it is made once for all who wait for it."""

import asyncio
from collections.abc import Sequence

import pytest

from handoff.assistants import shelf
from handoff.assistants.retrieval import Knowledge
from handoff.assistants.shelf import Shelf
from handoff.errors import Unavailable
from tests.cast import Stage

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each index had that was made."""
    counts: list[int] = []

    class Counted(Knowledge):
        def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
            counts.append(len(entries))
            super().__init__(entries)

    monkeypatch.setattr(shelf, "Knowledge", Counted)
    return counts


@ON_ONE
async def test_all_who_ask_at_once_wait_for_the_same_index(stage: Stage, made: list[int]) -> None:
    held = Shelf(stage.handoff.database)
    first, *others = await asyncio.gather(*(held.knowledge(stage.assistant_id, 3) for _ in range(20)))
    assert all(other is first for other in others) and made == [1]
    assert await held.knowledge(stage.assistant_id, 2) is first  # who began to ask before the change
    assert await held.knowledge(stage.assistant_id, 4) is not first and made == [1, 1]


@ON_ONE
async def test_who_leaves_takes_the_index_from_nobody(stage: Stage, made: list[int]) -> None:
    held = Shelf(stage.handoff.database)
    leaving, staying = (asyncio.create_task(held.knowledge(stage.assistant_id, 1)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).find("How long does delivery take?") and made == [1]


@ON_ONE
async def test_an_index_that_could_not_be_made_is_made_when_somebody_asks_again(
    stage: Stage, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Shelf(stage.handoff.database)

    async def away(*_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as outage:
        outage.setattr(stage.handoff.database, "read", away)
        with pytest.raises(Unavailable):
            await held.knowledge(stage.assistant_id, 1)
    assert await held.knowledge(stage.assistant_id, 1) and made == [1]
