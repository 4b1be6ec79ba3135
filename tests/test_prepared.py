"""Prepared queries bind what they are given, on each database."""

from typing import Any

from handoff.database import Happened
from handoff.models import Plan
from handoff.prepared import prepared
from tests.cast import Stage


@prepared
def _make(id: str, human_agents: int, position: int = 7) -> Any:
    return Plan.insert(locals()).returning(Plan)


@prepared
def _grow(id: str, by: int) -> Any:
    return Plan.update(human_agents=Plan.human_agents + by).where((Plan.id == id) & (Plan.position == 7))


@prepared
def _find(id: str) -> Any:
    return Plan.select().where(Plan.id == id)


async def test_a_prepared_query_binds_the_arguments_of_each_call(stage: Stage) -> None:
    write = stage.handoff.database.write
    for id, seats in (("small", 3), ("large'; --", 30)):
        (made,) = await write("", lambda id=id, seats=seats: Happened(_make(id, human_agents=seats)))
        assert (made.id, made.human_agents, made.position) == (id, seats, 7)
        assert await write("", lambda id=id: Happened(_grow(id, 2))) == 1
    assert [plan.human_agents for plan in await stage.look(lambda: _find("large'; --"))] == [32]


async def test_a_prepared_query_that_meets_nothing_says_so(stage: Stage) -> None:
    assert await stage.handoff.database.write("", lambda: Happened(_grow("nobody's", 1))) == 0
    assert await stage.look(lambda: _find("nobody's")) == []
