"""The tables as they were at the beginning: a copy that never changes, whatever handoff.models becomes."""

from typing import Any

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Database,
    DatabaseProxy,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)
from playhouse.migrate import SchemaMigrator

proxy = DatabaseProxy()


class Table(Model):
    class Meta:
        database = proxy
        legacy_table_names = False


class Row(Table):
    id = TextField(primary_key=True)


def refers_to(model: type[Model], **options: Any) -> ForeignKeyField:
    return ForeignKeyField(model, backref="+", **options)


class Plan(Table):
    id = TextField(primary_key=True)
    human_agents = IntegerField()
    position = IntegerField()
    is_offered = BooleanField(default=True)


class Team(Row):
    name = TextField()
    plan = refers_to(Plan)
    version = IntegerField()
    requires_second_factor = BooleanField()
    billed_at = BigIntegerField()
    created_at = BigIntegerField()
    deleted_at = BigIntegerField(null=True)


class User(Row):
    email = TextField(unique=True)
    name = TextField()
    password_hash = TextField(null=True)
    totp_secret = TextField(null=True)
    totp_confirmed_at = BigIntegerField(null=True)
    totp_step = BigIntegerField()
    recovery_hashes = TextField()
    created_at = BigIntegerField()


class Member(Row):
    team = refers_to(Team)
    user = refers_to(User)
    role = TextField()
    created_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)


Member.add_index(Member.index(Member.team, Member.user, unique=True, where=Member.ended_at.is_null(), name="member_present"))


class Seat(Row):
    team = refers_to(Team)
    member = refers_to(Member)
    status = TextField()
    assigned_by = refers_to(Member, null=True)
    assigned_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)


Seat.add_index(Seat.index(Seat.member, unique=True, where=Seat.ended_at.is_null(), name="seat_of_member"))
Seat.add_index(Seat.index(Seat.team, Seat.status, name="seat_status_in_team"))


class Invitation(Row):
    team = refers_to(Team)
    email = TextField()
    role = TextField()
    token_hash = TextField(unique=True)
    invited_by = refers_to(Member)
    created_at = BigIntegerField()
    expires_at = BigIntegerField()
    used_at = BigIntegerField(null=True)
    withdrawn_at = BigIntegerField(null=True)


Invitation.add_index(
    Invitation.index(
        Invitation.team,
        Invitation.email,
        unique=True,
        where=Invitation.used_at.is_null() & Invitation.withdrawn_at.is_null(),
        name="invitation_open",
    )
)


class Audit(Table):
    id = BigAutoField()
    team = refers_to(Team, null=True, index=False)
    user = refers_to(User, null=True, index=False)
    kind = TextField()
    about = TextField()
    at = BigIntegerField()


Audit.add_index(Audit.index(Audit.team, Audit.id, name="audit_of_team"))
Audit.add_index(Audit.index(Audit.team, Audit.kind, Audit.id, name="audit_of_kind"))
Audit.add_index(Audit.index(Audit.team, Audit.user, Audit.id, name="audit_of_user"))


class Session(Row):
    user = refers_to(User)
    token_hash = TextField(unique=True)
    browser = TextField()
    created_at = BigIntegerField()
    started_at = BigIntegerField(null=True)
    used_at = BigIntegerField()
    expires_at = BigIntegerField()
    second_factor_at = BigIntegerField(null=True)
    ended_at = BigIntegerField(null=True)


class Assistant(Row):
    team = refers_to(Team)
    name = TextField()
    color = TextField()
    provider = TextField()
    handoff = TextField()
    handoff_text = TextField()
    fallback_text = TextField()
    assistant_minutes = IntegerField()
    human_minutes = IntegerField()
    knowledge_version = IntegerField()
    version = IntegerField()
    phrases = TextField()
    created_at = BigIntegerField()
    archived_at = BigIntegerField(null=True)


class Entry(Row):
    assistant = refers_to(Assistant)
    question = TextField()
    answer = TextField()
    changed_at = BigIntegerField()


class Widget(Row):
    assistant = refers_to(Assistant)
    name = TextField()
    key = TextField(unique=True)
    greeting = TextField()
    color = TextField()
    launcher = TextField()
    suggestions = TextField()
    sites = TextField()
    language = TextField()
    version = IntegerField()
    last_site = TextField(null=True)
    last_seen_at = BigIntegerField(null=True)
    created_at = BigIntegerField()


class Customer(Row):
    widget = refers_to(Widget)
    name = TextField(null=True)
    email = TextField(null=True)
    created_at = BigIntegerField()


class Outcome(Row):
    team = refers_to(Team)
    name = TextField()
    position = IntegerField()
    archived_at = BigIntegerField(null=True)


class Conversation(Row):
    team = refers_to(Team)
    assistant = refers_to(Assistant)
    widget = refers_to(Widget)
    customer = refers_to(Customer)
    status = TextField()
    owner = refers_to(Member, null=True)

    turn_id = TextField(null=True)
    takeover_id = TextField(null=True)
    version = IntegerField()
    last_number = IntegerField()
    asked_number = IntegerField()
    waiting_since = BigIntegerField(null=True)
    opened_at = BigIntegerField()
    changed_at = BigIntegerField()
    ages_from = BigIntegerField()
    closed_at = BigIntegerField(null=True)
    closed_by = TextField(null=True)
    outcome = refers_to(Outcome, null=True)
    score = IntegerField(null=True)
    comment = TextField(null=True)


Conversation.add_index(
    Conversation.index(Conversation.customer, unique=True, where=Conversation.status == SQL("'active'"), name="conversation_active")
)
Conversation.add_index(
    Conversation.index(
        Conversation.assistant,
        Conversation.status,
        Conversation.waiting_since,
        Conversation.changed_at,
        name="conversation_watched",
    )
)
Conversation.add_index(Conversation.index(Conversation.status, Conversation.ages_from, name="conversation_ages"))


class Takeover(Row):
    conversation = refers_to(Conversation)
    member = refers_to(Member)
    after = IntegerField()
    handoff = TextField()
    handoff_text = TextField()
    taken_at = BigIntegerField()
    first_reply_at = BigIntegerField(null=True)
    ended_at = BigIntegerField(null=True)
    ended_by = TextField(null=True)
    outcome = refers_to(Outcome, null=True)
    note = TextField(null=True)


Takeover.add_index(Takeover.index(Takeover.conversation, unique=True, where=Takeover.ended_at.is_null(), name="takeover_open"))


class Turn(Row):
    conversation = refers_to(Conversation)
    status = TextField()
    answers = IntegerField()
    draft = TextField()
    attempt = IntegerField()
    claimed_by = TextField()
    claimed_until = BigIntegerField()
    started_at = BigIntegerField()
    ended_at = BigIntegerField(null=True)


Turn.add_index(Turn.index(Turn.conversation, unique=True, where=Turn.status == SQL("'running'"), name="turn_running"))
Turn.add_index(Turn.index(Turn.claimed_until, where=Turn.status == SQL("'running'"), name="turn_claimed"))


class Message(Table):
    id = BigAutoField()
    conversation = refers_to(Conversation, index=False)
    number = IntegerField()
    author = TextField()
    text = TextField()
    html = TextField(null=True)
    client_id = TextField(null=True)
    customer = refers_to(Customer, null=True, index=False)
    member = refers_to(Member, null=True, index=False)
    takeover = refers_to(Takeover, null=True)
    turn = refers_to(Turn, null=True, unique=True)
    announced_as = TextField(null=True)
    interrupted = BooleanField()
    sent_at = BigIntegerField()


Message.add_index(Message.index(Message.conversation, Message.number, unique=True, name="message_number"))
Message.add_index(Message.index(Message.customer, Message.client_id, unique=True, name="message_once_customer"))
Message.add_index(Message.index(Message.member, Message.client_id, unique=True, name="message_once_member"))


class Signal(Row):
    conversation = refers_to(Conversation)
    kind = TextField()
    reason = TextField()
    after = IntegerField()
    raised_at = BigIntegerField()
    cleared_at = BigIntegerField(null=True)


Signal.add_index(
    Signal.index(Signal.conversation, Signal.kind, unique=True, where=Signal.cleared_at.is_null(), name="signal_standing")
)


class Note(Row):
    conversation = refers_to(Conversation)
    member = refers_to(Member, index=False)
    client_id = TextField()
    after = IntegerField()
    text = TextField()
    written_at = BigIntegerField()


Note.add_index(Note.index(Note.member, Note.client_id, unique=True, name="note_once"))


class ReadMark(Table):
    id = BigAutoField()
    member = refers_to(Member, index=False)
    conversation = refers_to(Conversation)
    number = IntegerField()


ReadMark.add_index(ReadMark.index(ReadMark.member, ReadMark.conversation, unique=True, name="read_mark_once"))

TABLES = (
    Plan,
    Team,
    User,
    Member,
    Seat,
    Invitation,
    Audit,
    Session,
    Assistant,
    Entry,
    Widget,
    Customer,
    Outcome,
    Conversation,
    Takeover,
    Turn,
    Message,
    Signal,
    Note,
    ReadMark,
)


def up(migrator: SchemaMigrator, database: Database) -> None:
    proxy.initialize(database)
    database.create_tables(TABLES, safe=False)


def down(migrator: SchemaMigrator, database: Database) -> None:
    proxy.initialize(database)
    database.drop_tables(TABLES)
