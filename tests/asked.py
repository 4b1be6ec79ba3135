"""What a page asks of the database, without what the process asks beside it now and then."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from tests.cast import Stage


async def selects(stage: Stage, look: Callable[[], Awaitable[Any]]) -> list[str]:
    """The statements that read, in order, which `look()` made the process run. One at a time for a stage."""
    database, here, asked = stage.handoff.database, threading.local(), []
    read, execute = database.read, database.peewee.execute_sql

    async def read_for_somebody(query: Callable[..., Any], *arguments: Any) -> Any:
        def counted(*given: Any) -> Any:
            here.counts = True
            try:
                return query(*given)
            finally:
                here.counts = False

        runs_beside = asyncio.current_task() in stage.handoff._tasks
        return await read(query if runs_beside else counted, *arguments)

    def execute_sql(sql: str, *arguments: Any, **options: Any) -> Any:
        if getattr(here, "counts", False) and sql.lstrip().upper().startswith("SELECT"):
            asked.append(sql)
        return execute(sql, *arguments, **options)

    database.read, database.peewee.execute_sql = read_for_somebody, execute_sql
    try:
        await look()
    finally:
        del database.read, database.peewee.execute_sql
    return asked
