"""What leaves the house when nobody reacts: where to, when, and the log of it; and what a customer is told whom nobody meets."""

from peewee import BigIntegerField, Database, DatabaseProxy, ForeignKeyField, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator

proxy = DatabaseProxy()

TEAM = ("notice_url", "notice_key", "away_text")


class Team(Model):
    """What a delivery refers to."""

    id = TextField(primary_key=True)

    class Meta:
        database = proxy


class Signal(Model):
    """The columns that the index names."""

    id = TextField(primary_key=True)
    raised_at = BigIntegerField()
    cleared_at = BigIntegerField(null=True)
    noticed_at = BigIntegerField(null=True)

    class Meta:
        database = proxy


class Delivery(Model):
    id = TextField(primary_key=True)
    team = ForeignKeyField(Team, backref="+", index=False)
    kind = TextField()
    about = TextField()
    target = TextField()
    body = TextField()
    status = TextField()
    words = TextField()
    attempts = IntegerField()
    tries = IntegerField()
    next_at = BigIntegerField(null=True)
    created_at = BigIntegerField()
    delivered_at = BigIntegerField(null=True)

    class Meta:
        database = proxy


Delivery.add_index(Delivery.index(Delivery.team, Delivery.about, Delivery.kind, Delivery.target, unique=True, name="delivery_once"))
Delivery.add_index(Delivery.index(Delivery.next_at, where=Delivery.next_at.is_null(False), name="delivery_due"))
Delivery.add_index(Delivery.index(Delivery.team, Delivery.created_at.desc(), name="delivery_log"))
Delivery.add_index(Delivery.index(Delivery.created_at, name="delivery_age"))

UNNOTICED = Signal.index(Signal.raised_at, where=Signal.cleared_at.is_null() & Signal.noticed_at.is_null(), name="signal_unnoticed")


def up(migrator: SchemaMigrator, database: Database) -> None:
    proxy.initialize(database)
    migrator.migrate(migrator.add_column("team", "notice_seconds", IntegerField(default=60)))
    for name in TEAM:
        migrator.migrate(migrator.add_column("team", name, TextField(default="")))
    migrator.migrate(migrator.add_column("team", "notice_emails", TextField(default="[]")))
    migrator.migrate(migrator.add_column("signal", "noticed_at", BigIntegerField(null=True)))
    database.execute(UNNOTICED)
    database.create_tables([Delivery], safe=False)


def down(migrator: SchemaMigrator, database: Database) -> None:
    proxy.initialize(database)
    database.drop_tables([Delivery])
    migrator.migrate(migrator.drop_index("signal", "signal_unnoticed"))
    migrator.migrate(migrator.drop_column("signal", "noticed_at"))
    for name in ("notice_emails", *TEAM, "notice_seconds"):
        migrator.migrate(migrator.drop_column("team", name))
