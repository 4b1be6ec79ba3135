"""Numbered changes of the schema, run at start by one process at a time. The files are the same for both databases."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import Database, SqliteDatabase
from playhouse.migrations import Runner

HERE = Path(__file__).parent
LOCK_NUMBER = 4_826_331  # ours among PostgreSQL's advisory locks


@contextmanager
def alone(database: Database) -> Iterator[None]:
    """Hold the lock of starting processes: a second process waits here until the first has set the database up."""
    if isinstance(database, SqliteDatabase):
        with open(f"{database.database}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    else:
        database.execute_sql("SET statement_timeout = 0")
        database.execute_sql("SET lock_timeout = 0")
        database.execute_sql("SELECT pg_advisory_lock(%s)", (LOCK_NUMBER,))
        try:
            yield
        finally:
            database.execute_sql("SELECT pg_advisory_unlock(%s)", (LOCK_NUMBER,))


def migrate(database: Database) -> list[str]:
    """Apply what is missing; returns the names. The caller holds the lock."""
    applied: list[str] = Runner(database, str(HERE)).up()
    return applied
