"""The models and the numbered migrations say the same, and the last guards of the rules stand in the schema."""

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from peewee import IntegrityError
from playhouse.migrations import Runner

from app import prepare
from handoff import models
from handoff.database import connect
from handoff.migrations import HERE
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


ROWS = {
    "plan": {"id": "free", "human_agents": 1, "position": 0, "is_offered": True},
    "team": {"id": "t", "name": "Tidewater", "plan_id": "free", "version": 3, "requires_second_factor": False, "billed_at": 0},
    "assistant": {"id": "a", "team_id": "t", "name": "Tilly", "provider": "built_in", "fallback_text": "Sorry."},
    "widget": {"id": "w", "assistant_id": "a", "name": "Shop", "key": "k", "color": "#123456"},
    "customer": {"id": "c", "widget_id": "w"},
}


def test_a_database_of_the_first_release_is_upgraded_and_keeps_its_rows(
    bare_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """And the second migration can be taken back."""
    database = connect(bare_url)
    models.proxy.initialize(database)
    with database.connection_context():
        runner = Runner(database, str(HERE))
        runner.up("0001_begin")
        for table, row in ROWS.items():
            _insert(database, table, row)
        first = schema(bare_url)
        before = {table: _rows_of(database, table) for table in ROWS}
    prepare(Settings(_env_file=None, database_url=bare_url, secret_key=SECRET_KEY))
    with database.connection_context():
        after = {table: _rows_of(database, table) for table in ROWS}
        for table, rows in before.items():
            kept = [
                {name: value for name, value in row.items() if name in rows[0]}
                for row in after[table]
                if row["id"] == rows[0]["id"]
            ]
            assert kept == [{**rows[0], **({"is_offered": kept[0]["is_offered"]} if table == "plan" else {})}], table
        assert models.Assistant.get_by_id("a").answer_tokens == 1_000
        assert models.Customer.get_by_id("c").remembered == "{}"
        newer = [migration.name for migration in Runner(database, str(HERE)).status() if migration.name > "0001_begin"]
        Runner(database, str(HERE)).down(newer[0])
        assert schema(bare_url) == first
        Runner(database, str(HERE)).up()
        assert models.Assistant.get_by_id("a").name == "Tilly"


def _insert(database: Any, table: str, given: dict[str, Any]) -> None:
    """A row with something in every column that needs it, whatever the models say today."""
    row = dict(given)
    for column in database.get_columns(table):
        if column.name not in row and not column.null and column.default is None:
            row[column.name] = 0 if re.search("int|bool|real|float|double", column.data_type.lower()) else ""
    marks = ", ".join([database.param] * len(row))
    names = ", ".join(f'"{name}"' for name in row)
    database.execute_sql(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(row.values()))


def _rows_of(database: Any, table: str) -> list[dict[str, Any]]:
    cursor = database.execute_sql(f'SELECT * FROM "{table}" ORDER BY id')
    return [dict(zip([column[0] for column in cursor.description], row, strict=True)) for row in cursor.fetchall()]
