"""The key that a widget had before its present one: who was in mid-conversation finds it again by that."""

from peewee import Database, TextField
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, database: Database) -> None:
    migrator.migrate(migrator.add_column("widget", "former_key", TextField(null=True)))
    migrator.migrate(migrator.add_index("widget", ("former_key",), False))


def down(migrator: SchemaMigrator, database: Database) -> None:
    migrator.migrate(migrator.drop_index("widget", "widget_former_key"))
    migrator.migrate(migrator.drop_column("widget", "former_key"))
