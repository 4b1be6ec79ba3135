"""Since when a conversation needs a human, and the indexes by which those are found without looking at the others."""

from peewee import BigIntegerField, Database, DatabaseProxy, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator

NEVER = 2**53 - 1

proxy = DatabaseProxy()


class Conversation(Model):
    """The columns that the indexes below name."""

    id = TextField(primary_key=True)
    assistant_id = TextField()
    status = TextField()
    waiting_since = BigIntegerField(null=True)
    needed_since = BigIntegerField()
    changed_at = BigIntegerField()

    class Meta:
        database = proxy


class Message(Model):
    conversation_id = TextField()
    sent_at = BigIntegerField()

    class Meta:
        database = proxy


WATCHED = (Conversation.assistant_id, Conversation.status)
INDEXES = (
    Conversation.index(
        *WATCHED, Conversation.needed_since, Conversation.changed_at.desc(), Conversation.id, name="conversation_watched"
    ),
    Conversation.index(Conversation.waiting_since, where=Conversation.waiting_since.is_null(False), name="conversation_waiting"),
    Message.index(Message.sent_at, Message.conversation_id, name="message_lately"),
)


def up(migrator: SchemaMigrator, database: Database) -> None:
    proxy.initialize(database)
    migrator.migrate(
        migrator.add_column("assistant", "waiting_seconds", IntegerField(default=60)),
        migrator.drop_index("conversation", "conversation_watched"),
        migrator.add_column("conversation", "needed_since", BigIntegerField(default=NEVER)),
    )
    oldest = "SELECT MIN(raised_at) FROM signal WHERE conversation_id = conversation.id AND cleared_at IS NULL"
    database.execute_sql(f"UPDATE conversation SET needed_since = COALESCE(({oldest}), {NEVER})")  # noqa: S608 - no value from outside
    for index in INDEXES:
        database.execute(index)


def down(migrator: SchemaMigrator, database: Database) -> None:
    proxy.initialize(database)
    migrator.migrate(
        migrator.drop_index("message", "message_lately"),
        migrator.drop_index("conversation", "conversation_waiting"),
        migrator.drop_index("conversation", "conversation_watched"),
        migrator.drop_column("conversation", "needed_since"),
        migrator.drop_column("assistant", "waiting_seconds"),
    )
    watched = (*WATCHED, Conversation.waiting_since, Conversation.changed_at)
    database.execute(Conversation.index(*watched, name="conversation_watched"))
