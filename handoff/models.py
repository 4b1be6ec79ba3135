"""What is true: the tables, in the words of the design. Times are epoch milliseconds, ids opaque text.

The indexes that are conditions ("at most one row where ...") are the last guard of a rule; the rule is named beside each.
"""

from typing import Any

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    DatabaseProxy,
    FloatField,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from handoff.clock import new_id, now

proxy = DatabaseProxy()


# A time behind all others, for a column that orders by time. A null would be sorted by one rule on SQLite and by another on
# PostgreSQL, and no range of an index would hold both those with a time and those without.
NEVER = 2**53 - 1


class Table(Model):
    class Meta:
        database = proxy
        legacy_table_names = False


class Row(Table):
    id = TextField(primary_key=True, default=new_id)


def refers_to(model: type[Model], **options: Any) -> ForeignKeyField:
    """A foreign key without a back reference: queries say what they join."""
    return ForeignKeyField(model, backref="+", **options)


def unchanging(query: Any, model: type[Model]) -> Any:
    """The query, with the rows of `model` that it finds held as they are to the end of the transaction; many may hold them at
    once. A database with one writer at a time needs no lock for that."""
    return query.for_update("FOR SHARE", of=model) if proxy.obj.for_update else query


class Plan(Table):
    id = TextField(primary_key=True)
    human_agents = IntegerField()
    position = IntegerField(default=0)
    is_offered = BooleanField(default=True)  # the settings still name it


class Team(Row):
    name = TextField()
    plan = refers_to(Plan)
    version = IntegerField(default=0)
    requires_second_factor = BooleanField(default=False)
    billed_at = BigIntegerField(default=0)  # time of the last signed call that set the plan; an older or equal one is a replay
    created_at = BigIntegerField(default=now)
    deleted_at = BigIntegerField(null=True)


class User(Row):
    email = TextField(unique=True)
    name = TextField()
    password_hash = TextField(null=True)
    totp_secret = TextField(null=True)  # encrypted
    totp_confirmed_at = BigIntegerField(null=True)
    totp_step = BigIntegerField(default=0)  # the last 30 s step whose code was used; none works twice
    recovery_hashes = TextField(default="[]")  # JSON list, one gone with each use
    created_at = BigIntegerField(default=now)


class Member(Row):
    team = refers_to(Team)
    user = refers_to(User)
    role = TextField()
    created_at = BigIntegerField(default=now)
    ended_at = BigIntegerField(null=True)


Member.add_index(Member.index(Member.team, Member.user, unique=True, where=Member.ended_at.is_null(), name="member_present"))


class Seat(Row):
    team = refers_to(Team)
    member = refers_to(Member)
    status = TextField(default="held")  # held, suspended, ended
    assigned_by = refers_to(Member, null=True)
    assigned_at = BigIntegerField(default=now)
    ended_at = BigIntegerField(null=True)


Seat.add_index(Seat.index(Seat.member, unique=True, where=Seat.ended_at.is_null(), name="seat_of_member"))
Seat.add_index(Seat.index(Seat.team, Seat.status, name="seat_status_in_team"))


class Invitation(Row):
    """An offer of membership, by e-mail; the link's token is kept as its hash."""

    team = refers_to(Team)
    email = TextField()
    role = TextField()
    token_hash = TextField(unique=True)
    invited_by = refers_to(Member)
    created_at = BigIntegerField(default=now)
    expires_at = BigIntegerField()
    used_at = BigIntegerField(null=True)
    withdrawn_at = BigIntegerField(null=True)


# One open offer to an address: inviting it again takes the place of the last one.
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
    """Who did what when in a team: one line for each change that an admin may want to ask about."""

    id = BigAutoField()
    team = refers_to(Team, null=True, index=False)
    user = refers_to(User, null=True, index=False)  # null: the operator, or the plan's billing
    kind = TextField()
    about = TextField(default="{}")  # JSON: ids and names, never texts or secrets
    at = BigIntegerField(default=now)


Audit.add_index(Audit.index(Audit.team, Audit.id, name="audit_of_team"))
Audit.add_index(Audit.index(Audit.team, Audit.kind, Audit.id, name="audit_of_kind"))
Audit.add_index(Audit.index(Audit.team, Audit.user, Audit.id, name="audit_of_user"))


class Session(Row):
    """A sign-in. A sign-in link is a session that has not started; opening the link starts it, once."""

    user = refers_to(User)
    token_hash = TextField(unique=True)
    browser = TextField(default="")
    created_at = BigIntegerField(default=now)
    started_at = BigIntegerField(null=True)
    used_at = BigIntegerField(default=now)
    expires_at = BigIntegerField()
    second_factor_at = BigIntegerField(null=True)
    ended_at = BigIntegerField(null=True)


class Assistant(Row):
    team = refers_to(Team)
    name = TextField()
    color = TextField(default="#3257d6")
    greeting = TextField(default="")  # what a widget says first that has no greeting of its own
    provider = TextField(default="built_in")  # built_in, model, webhook
    base_url = TextField(default="")  # of a chat-completions endpoint
    model = TextField(default="")
    model_key = TextField(default="")  # encrypted
    instructions = TextField(default="")
    temperature = FloatField(null=True)  # null: the endpoint's own
    answer_tokens = IntegerField(default=1_000)
    webhook_url = TextField(default="")
    webhook_key = TextField(default="")  # encrypted
    handoff = TextField(default="silent")  # silent, scripted, announced
    handoff_text = TextField(default="")
    fallback_text = TextField(default="Sorry, I cannot answer that just now. Please try again in a moment.")
    assistant_minutes = IntegerField(default=30)
    human_minutes = IntegerField(default=30)
    knowledge_version = IntegerField(default=0)
    version = IntegerField(default=0)  # counts edits of the settings, so that a later save hears of an earlier one
    phrases = TextField(default="[]")  # JSON list of text that raises a signal
    waiting_seconds = IntegerField(default=60)  # that a customer's line may be unanswered without raising one
    created_at = BigIntegerField(default=now)
    archived_at = BigIntegerField(null=True)


class Entry(Row):
    assistant = refers_to(Assistant)
    question = TextField()
    answer = TextField()
    changed_at = BigIntegerField(default=now)


class Widget(Row):
    assistant = refers_to(Assistant)
    name = TextField()
    key = TextField(unique=True)
    former_key = TextField(null=True, index=True)  # the one before: opens running conversations, and no new ones
    greeting = TextField(default="")
    color = TextField(default="")  # of launcher and head; empty: the assistant's
    line_color = TextField(default="")  # of the customer's lines; empty: the same
    launcher = TextField(default="")
    suggestions = TextField(default="[]")  # JSON list of text
    sites = TextField(default="[]")  # JSON list of origins; empty: any site
    language = TextField(default="en")
    version = IntegerField(default=0)
    last_site = TextField(null=True)  # the origin it was last seen on
    last_seen_at = BigIntegerField(null=True)
    created_at = BigIntegerField(default=now)


class Customer(Row):
    widget = refers_to(Widget)
    name = TextField(null=True)
    email = TextField(null=True)
    remembered = TextField(default="{}")  # JSON: what the assistant noted of what the customer told it
    created_at = BigIntegerField(default=now)


class Outcome(Row):
    team = refers_to(Team)
    name = TextField()
    position = IntegerField(default=0)
    archived_at = BigIntegerField(null=True)


class Conversation(Row):
    team = refers_to(Team)
    assistant = refers_to(Assistant)
    widget = refers_to(Widget)
    customer = refers_to(Customer)
    status = TextField(default="active")  # active, closed
    owner = refers_to(Member, null=True)
    # The running turn and the open takeover, if any. They stand here so that one statement on this row can ask for them;
    # no foreign keys, which would go round in a circle.
    turn_id = TextField(null=True)
    takeover_id = TextField(null=True)
    version = IntegerField(default=0)
    last_number = IntegerField(default=0)
    asked_number = IntegerField(default=0)  # the customer's last line
    waiting_since = BigIntegerField(null=True)
    needed_since = BigIntegerField(default=NEVER)  # the oldest standing signal
    opened_at = BigIntegerField(default=now)
    changed_at = BigIntegerField(default=now)
    ages_from = BigIntegerField(default=now)
    closed_at = BigIntegerField(null=True)
    closed_by = TextField(null=True)  # agent, customer, age, team (it was deleted)
    outcome = refers_to(Outcome, null=True)
    score = IntegerField(null=True)
    comment = TextField(null=True)


# One active conversation per customer; a customer belongs to one widget.
Conversation.add_index(
    Conversation.index(Conversation.customer, unique=True, where=Conversation.status == SQL("'active'"), name="conversation_active")
)
Conversation.add_index(
    Conversation.index(
        Conversation.assistant,
        Conversation.status,
        Conversation.needed_since,
        Conversation.changed_at.desc(),
        Conversation.id,
        name="conversation_watched",
    )
)
Conversation.add_index(
    Conversation.index(Conversation.waiting_since, where=Conversation.waiting_since.is_null(False), name="conversation_waiting")
)
Conversation.add_index(Conversation.index(Conversation.status, Conversation.ages_from, name="conversation_ages"))


class Takeover(Row):
    conversation = refers_to(Conversation)
    member = refers_to(Member)
    after = IntegerField()
    handoff = TextField()
    handoff_text = TextField()
    taken_at = BigIntegerField(default=now)
    first_reply_at = BigIntegerField(null=True)
    ended_at = BigIntegerField(null=True)
    ended_by = TextField(null=True)  # agent, customer, age, team, takeover
    outcome = refers_to(Outcome, null=True)
    note = TextField(null=True)


# I1: one agent at a time.
Takeover.add_index(Takeover.index(Takeover.conversation, unique=True, where=Takeover.ended_at.is_null(), name="takeover_open"))


class Turn(Row):
    conversation = refers_to(Conversation)
    status = TextField(default="running")  # running, finished, interrupted, abandoned, failed, refused
    answers = IntegerField()  # the customer's last line when it began
    draft = TextField(default="")
    attempt = IntegerField(default=1)
    claimed_by = TextField()
    claimed_until = BigIntegerField()
    started_at = BigIntegerField(default=now)
    ended_at = BigIntegerField(null=True)


# I12: one turn at a time.
Turn.add_index(Turn.index(Turn.conversation, unique=True, where=Turn.status == SQL("'running'"), name="turn_running"))
Turn.add_index(Turn.index(Turn.claimed_until, where=Turn.status == SQL("'running'"), name="turn_claimed"))


class Message(Table):
    id = BigAutoField()
    conversation = refers_to(Conversation, index=False)
    number = IntegerField()
    author = TextField()  # customer, assistant, agent
    text = TextField()
    html = TextField(null=True)
    client_id = TextField(null=True)
    customer = refers_to(Customer, null=True, index=False)
    member = refers_to(Member, null=True, index=False)
    takeover = refers_to(Takeover, null=True)
    turn = refers_to(Turn, null=True, unique=True)  # I12: a turn says one thing
    announced_as = TextField(null=True)  # the name that the customer may see; null: the line says "assistant"
    interrupted = BooleanField(default=False)
    sent_at = BigIntegerField(default=now)


Message.add_index(Message.index(Message.conversation, Message.number, unique=True, name="message_number"))  # I5
Message.add_index(Message.index(Message.sent_at, Message.conversation, name="message_lately"))
Message.add_index(Message.index(Message.customer, Message.client_id, unique=True, name="message_once_customer"))  # I4
Message.add_index(Message.index(Message.member, Message.client_id, unique=True, name="message_once_member"))  # I4


class Signal(Row):
    conversation = refers_to(Conversation)
    kind = TextField()  # asked_for_human, no_answer, assistant_failed, phrase, waiting, repeating
    reason = TextField(default="")
    after = IntegerField()
    raised_at = BigIntegerField(default=now)
    cleared_at = BigIntegerField(null=True)


# Each is raised once per cause: again only after the last one was cleared.
Signal.add_index(
    Signal.index(Signal.conversation, Signal.kind, unique=True, where=Signal.cleared_at.is_null(), name="signal_standing")
)


class Note(Row):
    conversation = refers_to(Conversation)
    member = refers_to(Member, index=False)
    client_id = TextField()
    after = IntegerField()
    text = TextField()
    written_at = BigIntegerField(default=now)


Note.add_index(Note.index(Note.member, Note.client_id, unique=True, name="note_once"))  # I4


class ReadMark(Table):
    """How far a member has read; kept here so that two devices agree."""

    id = BigAutoField()
    member = refers_to(Member, index=False)
    conversation = refers_to(Conversation)
    number = IntegerField()


ReadMark.add_index(ReadMark.index(ReadMark.member, ReadMark.conversation, unique=True, name="read_mark_once"))

TABLES: tuple[type[Model], ...] = (
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
