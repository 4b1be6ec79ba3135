"""The models and the numbered migrations say the same, and the last guards of the rules stand in the schema."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from peewee import IntegrityError

from app import prepare
from handoff import models
from handoff.database import connect
from handoff.settings import Settings
from tests.cast import Stage
from tests.servers import SECRET_KEY


def schema(url: str) -> list[tuple]:
    """Every table, column and index of a database in words that two databases of one kind can be compared by."""
    database = connect(url)
    with database.connection_context():
        rows = []
        for table in sorted(set(database.get_tables()) - {"schema_migration", "sqlite_sequence"}):
            rows += [(table, c.name, c.data_type, c.null, c.primary_key) for c in database.get_columns(table)]
            rows += [(table, i.columns, i.unique, (i.sql or "").replace("IF NOT EXISTS ", "")) for i in database.get_indexes(table)]
            rows += [(table, key.column, key.dest_table, key.dest_column) for key in database.get_foreign_keys(table)]
    return sorted(map(repr, rows))


def test_a_migrated_database_is_what_the_models_say(bare_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    prepare(Settings(_env_file=None, database_url=bare_url, secret_key=SECRET_KEY))
    if bare_url.startswith("sqlite"):
        other = f"sqlite:///{tmp_path / 'models.db'}"
    else:
        server = request.getfixturevalue("postgresql")
        other = server.url(server.create_database())
    database = connect(other)
    models.proxy.initialize(database)
    with database.connection_context():
        database.create_tables(models.TABLES)
    assert schema(bare_url) == schema(other)


def test_a_second_start_migrates_nothing_and_keeps_the_data(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'handoff.db'}", secret_key=SECRET_KEY, demo=True)
    assert any("password" in line for line in prepare(settings))
    second = prepare(settings)
    assert not any("password" in line for line in second)
    assert any("/sign-in/" in line for line in second)
    with sqlite3.connect(tmp_path / "handoff.db") as database:
        assert database.execute("SELECT count(*) FROM team").fetchone() == (1,)


async def test_the_schema_refuses_a_second_active_conversation_turn_and_takeover(stage: Stage) -> None:
    await stage.hold_assistant()
    customer, ada = await stage.customer(), await stage.agent("Ada")
    await customer.write("hello")
    conversation = await stage.conversation(customer.conversation_id)
    await ada.take_over(conversation.id)
    (takeover,) = await stage.takeovers(conversation.id)

    def copy(row: models.Row, **changes: object) -> None:
        values = {**row.__data__, "id": models.new_id(), **changes}
        type(row).insert(values).execute()

    def refused(row: models.Row, **changes: object) -> bool:
        try:
            with models.proxy.atomic():
                copy(row, **changes)
        except IntegrityError:
            return True
        return False

    (turn,) = await stage.turns(conversation.id)
    running = {"status": "running", "ended_at": None}
    results = await asyncio.gather(
        stage.make(lambda: refused(conversation)),
        stage.make(lambda: refused(takeover)),
        stage.make(lambda: refused(turn, **running) or refused(turn, **running)),
    )
    assert results == [True, True, True]
