"""The order of the watch list: who needs a human first, then the newest; or the busiest. And what it costs."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from handoff.clock import new_id, now
from handoff.models import NEVER, Conversation, Customer, Message, Signal
from tests.cast import Stage

MANY = 5_000


async def fill(stage: Stage, many: int, needing: int) -> None:
    """Active conversations of Tilly's, of which some need a human."""
    customer = await stage.customer()
    await customer.write("hello")
    widget_id = (await stage.conversation(customer.conversation_id)).widget_id
    time = now()
    for begin in range(0, many, 250):  # a lane gives up on who waits for too long
        numbers = range(begin, min(begin + 250, many))
        await stage.make(lambda: _fill(stage, widget_id, time, numbers, many // 5, needing))  # noqa: B023 - runs at once
    if not stage.handoff.database.embedded:  # PostgreSQL does so by itself after a while; nobody does it on SQLite
        await stage.make(lambda: stage.handoff.database.peewee.execute_sql("ANALYZE"))


def _fill(stage: Stage, widget_id: str, time: int, numbers: range, steps: int, needing: int) -> None:
    common = {"team": stage.team_id, "assistant": stage.assistant_id, "widget": widget_id, "ages_from": time + 10**9}
    ids = {at: new_id() for at in numbers}
    Customer.insert_many([{"id": id, "widget": widget_id} for id in ids.values()]).execute()
    Conversation.insert_many(
        [
            {
                **common,
                "id": id,
                "customer": id,
                "version": 1,
                "changed_at": time - 10_000 - (at % steps) * 10,
                "needed_since": time - 50_000 + at % 11 if at < needing else NEVER,
            }
            for at, id in ids.items()
        ]
    ).execute()
    for at, id in ids.items():
        if at < needing:
            Signal.create(conversation=id, kind="no_answer", after=0, raised_at=time - 50_000 + at % 11)


async def pages(agent: Any, **options: Any) -> list[list[dict[str, Any]]]:
    cursor, found = None, []
    while not found or cursor:
        page = await agent.do("watch", cursor=cursor, **options)
        found.append(page["conversations"])
        cursor = page["cursor"]
    return found


async def test_who_needs_a_human_comes_first_the_longest_first_and_then_the_newest(stage: Stage) -> None:
    await fill(stage, 230, needing=70)
    ada = await stage.watcher("Ada")
    found = await pages(ada, assistant_id=stage.assistant_id)
    assert [len(page) for page in found] == [50, 50, 50, 50, 31]
    rows = [row for page in found for row in page]
    assert len({row["id"] for row in rows}) == 231
    keys = [(row["needed_since"] or NEVER, -row["changed_at"], row["id"]) for row in rows]
    assert keys == sorted(keys)
    assert [bool(row["signals"]) for row in rows] == [True] * 70 + [False] * 161
    needing = await pages(ada, assistant_id=stage.assistant_id, filter="needs_human")
    assert [len(page) for page in needing] == [50, 20]


async def test_pages_stay_right_while_conversations_move(stage: Stage) -> None:
    """Whoever did not change between two pages is on one of them, once."""
    await fill(stage, 160, needing=70)
    ada = await stage.watcher("Ada")
    first = await ada.do("watch", assistant_id=stage.assistant_id)
    seen = [row["id"] for row in first["conversations"]]
    moved = [*seen[:5], *(await stage.look(lambda: _calm(20)))]
    await stage.make(lambda: _settle(moved[:5]))
    await stage.make(lambda: _need(moved[5:]))
    cursor = first["cursor"]
    while cursor:
        page = await ada.do("watch", assistant_id=stage.assistant_id, cursor=cursor)
        seen += [row["id"] for row in page["conversations"]]
        cursor = page["cursor"]
    unmoved = [id for id in seen if id not in moved]
    assert len(unmoved) == len(set(unmoved)) == 161 - len(moved)


def _calm(most: int) -> list[str]:
    calm = Conversation.select(Conversation.id).where(Conversation.needed_since == NEVER, Conversation.last_number == 0)
    return [id for (id,) in calm.limit(most).tuples()]


def _settle(ids: list[str]) -> None:
    Signal.update(cleared_at=now()).where(Signal.conversation << ids).execute()
    Conversation.update(needed_since=NEVER).where(Conversation.id << ids).execute()


def _need(ids: list[str]) -> None:
    Conversation.update(needed_since=1_000).where(Conversation.id << ids).execute()


async def asked(stage: Stage, look: Callable[[], Awaitable[Any]]) -> list[tuple[str, Any]]:
    """Statements that read, with their values, while `look()` is answered."""
    peewee, statements = stage.handoff.database.peewee, []
    execute = peewee.execute_sql

    def execute_sql(sql: str, values: Any = None, *rest: Any) -> Any:
        statements.append((sql, values))
        return execute(sql, values, *rest)

    peewee.execute_sql = execute_sql
    try:
        await look()
    finally:
        del peewee.execute_sql
    return statements


async def test_a_page_of_five_thousand_reads_one_range_of_an_index(stage: Stage) -> None:
    await fill(stage, MANY, needing=120)
    ada = await stage.watcher("Ada")
    cursors = [None]
    for _ in range(4):
        page = await ada.do("watch", assistant_id=stage.assistant_id, cursor=cursors[-1])
        cursors.append(page["cursor"])
    for cursor in cursors:
        begins = "" if cursor is None else " AND needed_since"
        await _reads_one_range(stage, lambda cursor=cursor: ada.do("watch", assistant_id=stage.assistant_id, cursor=cursor), begins)
    await _reads_one_range(stage, lambda: ada.do("watch", assistant_id=stage.assistant_id, filter="needs_human"))


async def _reads_one_range(stage: Stage, look: Callable[[], Awaitable[Any]], begins: str = "") -> None:
    ordered = [(sql, values) for sql, values in await asked(stage, look) if "ORDER BY" in sql and "needed_since" in sql]
    assert len(ordered) == 1  # one query makes the order
    plan = await stage.look(lambda: explain(stage, *ordered[0]))
    if stage.handoff.database.embedded:
        searched = [line for line in plan if '"t1"' in line or " t1 " in line]
        assert len(searched) == 1 and f"USING INDEX conversation_watched (assistant_id=? AND status=?{begins}" in searched[0], plan
        assert not any("TEMP B-TREE" in line for line in plan), plan
    else:
        (scan,) = [node for node in plan if node.get("Relation Name") == "conversation"]
        assert scan.get("Index Name") == "conversation_watched", plan
        assert scan["Actual Rows"] <= 51, plan
        assert scan.get("Rows Removed by Filter", 0) <= 12, plan  # of the same millisecond as the cursor
        assert not any("Sort" in node["Node Type"] for node in plan), plan


def explain(stage: Stage, sql: str, values: Any) -> list[Any]:
    peewee = stage.handoff.database.peewee
    if stage.handoff.database.embedded:
        return [row[3] for row in peewee.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
    ((plan,),) = peewee.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values).fetchall()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return list(_nodes(plan[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Any:
    yield {key: value for key, value in node.items() if key != "Plans"}
    for child in node.get("Plans", []):
        yield from _nodes(child)


async def test_a_sweep_looks_at_those_who_wait_and_at_no_others(stage: Stage) -> None:
    await fill(stage, 2_000, needing=0)
    said = await asked(stage, stage.handoff.sweeper.raise_waiting)
    (query,) = [one for one in said if 'ORDER BY "t1"."waiting_since"' in one[0]]
    plan = await stage.look(lambda: explain(stage, *query))
    assert "conversation_waiting" in str(plan), plan
    assert "TEMP B-TREE" not in str(plan), plan


async def test_the_busiest_are_those_with_the_most_lines_in_five_minutes(stage: Stage) -> None:
    await fill(stage, 80, needing=3)
    ids = await stage.look(lambda: _calm(80))
    lines = {id: 1 + at for at, id in enumerate(ids[:60])}
    await stage.make(lambda: _say(lines, now()))
    await stage.make(lambda: _say({ids[70]: 100}, now() - 6 * 60_000))  # busy no more
    ada = await stage.watcher("Ada")
    page = await ada.do("watch", assistant_id=stage.assistant_id, order="busiest")
    assert page["cursor"] is None
    assert page["counts"]["all"] == 81
    found = [(row["id"], row["recent_lines"]) for row in page["conversations"]]
    assert found == sorted(lines.items(), key=lambda one: -one[1])[:50]
    needing = await ada.do("watch", assistant_id=stage.assistant_id, order="busiest", filter="needs_human")
    assert needing["conversations"] == []
    look = lambda: ada.do("watch", assistant_id=stage.assistant_id, order="busiest")  # noqa: E731
    (query,) = [one for one in await asked(stage, look) if 'sent_at" >' in one[0]]
    plan = await stage.look(lambda: explain(stage, *query))
    assert "message_lately" in str(plan) or not stage.handoff.database.embedded, plan  # of few lines PostgreSQL reads all


def _say(lines: dict[str, int], time: int) -> None:
    for id, count in lines.items():
        begin = Message.select(Message.number).where(Message.conversation == id).count()
        Message.insert_many(
            [
                {"conversation": id, "number": begin + at, "author": "customer", "text": "x", "sent_at": time - at}
                for at in range(1, count + 1)
            ]
        ).execute()
