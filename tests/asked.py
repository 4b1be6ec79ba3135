"""What a page asks of the database, without what the process asks beside it now and then."""

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from handoff import conversations, signals, teams, turns, watching
from tests.cast import Stage

SWEPT = (conversations.aged, turns.abandoned, signals.unanswered, teams.left_open)
BESIDE = (*SWEPT, watching.let_in)  # the sweeper's, and the access check's


async def selects(stage: Stage, look: Callable[[], Awaitable[Any]]) -> list[str]:
    """The statements that read, in order, which `look()` made the process run. One at a time for a stage."""
    database = stage.handoff.database
    run, execute, asked, beside = database._read_at_once, database.peewee.execute_sql, [], threading.local()

    def run_query(query: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        beside.now = query in BESIDE
        return run(query, arguments)

    def execute_sql(sql: str, *arguments: Any, **options: Any) -> Any:
        if not getattr(beside, "now", False) and sql.lstrip().upper().startswith("SELECT"):
            asked.append(sql)
        return execute(sql, *arguments, **options)

    database._read_at_once, database.peewee.execute_sql = run_query, execute_sql
    try:
        await look()
    finally:
        del database._read_at_once, database.peewee.execute_sql
    return asked
