"""Where an assistant's answers come from, its own greeting, the colour of a customer's lines, what an assistant remembers."""

from typing import Any

from peewee import Database, FloatField, IntegerField, TextField
from playhouse.migrate import SchemaMigrator

ASSISTANT = {
    "greeting": TextField,
    "base_url": TextField,
    "model": TextField,
    "model_key": TextField,
    "instructions": TextField,
    "webhook_url": TextField,
    "webhook_key": TextField,
}


def up(migrator: SchemaMigrator, database: Database) -> None:
    for name, field in ASSISTANT.items():
        _add(migrator, "assistant", name, field(default=""))
    _add(migrator, "assistant", "temperature", FloatField(null=True))
    _add(migrator, "assistant", "answer_tokens", IntegerField(default=1_000))
    _add(migrator, "widget", "line_color", TextField(default=""))
    _add(migrator, "customer", "remembered", TextField(default="{}"))


def down(migrator: SchemaMigrator, database: Database) -> None:
    for table, names in (
        ("assistant", [*ASSISTANT, "temperature", "answer_tokens"]),
        ("widget", ["line_color"]),
        ("customer", ["remembered"]),
    ):
        for name in names:
            migrator.migrate(migrator.drop_column(table, name))


def _add(migrator: SchemaMigrator, table: str, name: str, field: Any) -> None:
    migrator.migrate(migrator.add_column(table, name, field))
