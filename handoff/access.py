"""Who may use what: one table for every route and every socket command.

The page guard (pages/edge.py) and the dispatch of commands (namespaces/base.py) look their rule up here, and so does the test
that tries every one of them as everybody. Whoever may not use something that belongs to somebody gets the answer of something
that is not there. The table decides who gets as far as the operation; the operation asks once more, inside its transaction.
"""

from enum import Enum

from handoff.errors import Forbidden
from handoff.seats import Agent, agent_in


class Who(Enum):
    ANYONE = "anyone, signed in or not"
    BILLING = "a program that signs with the operator's key"
    CUSTOMER = "the visitor whom the token names, in their own conversation"
    USER = "whoever is signed in, about themselves"
    MEMBER = "a member of the team"
    AGENT = "a member who holds a seat"
    CONVERSATION_OWNER = "the agent who owns the conversation; a suspended seat is enough"
    ADMIN = "an owner or admin of the team"
    OWNER = "an owner of the team"


IN_A_TEAM = frozenset({Who.MEMBER, Who.AGENT, Who.CONVERSATION_OWNER, Who.ADMIN, Who.OWNER})

ROUTES: dict[tuple[str, str], Who] = {
    ("GET", "/"): Who.ANYONE,
    ("GET", "/healthz"): Who.ANYONE,
    ("GET", "/metrics"): Who.ANYONE,
    ("GET", "/static"): Who.ANYONE,
    ("*", "/socket.io/"): Who.ANYONE,  # the namespaces ask who it is
    ("GET", "/shop"): Who.ANYONE,
    ("GET", "/widget.js"): Who.ANYONE,
    ("GET", "/widget/{key}"): Who.ANYONE,
    ("GET", "/launcher/{key}"): Who.ANYONE,
    ("GET", "/sign-in"): Who.ANYONE,
    ("POST", "/sign-in"): Who.ANYONE,
    ("GET", "/sign-in/{token}"): Who.ANYONE,
    ("POST", "/sign-in/{token}"): Who.ANYONE,  # whoever holds the link
    ("POST", "/sign-out"): Who.ANYONE,  # ends the session that asks, if there is one
    ("PUT", "/api/teams/{team}/plan"): Who.BILLING,
    ("GET", "/setup"): Who.ANYONE,
    ("GET", "/setup/{token}"): Who.ANYONE,  # whoever holds the link, while there is no team
    ("POST", "/setup/{token}"): Who.ANYONE,
    ("GET", "/sign-up"): Who.ANYONE,  # where the operator allows it
    ("POST", "/sign-up"): Who.ANYONE,
    ("GET", "/invitations/{token}"): Who.ANYONE,  # whoever holds the link
    ("POST", "/invitations/{token}"): Who.ANYONE,
    ("POST", "/invitations/{token}/accept"): Who.ANYONE,
    ("GET", "/teams/"): Who.USER,
    ("GET", "/teams/{team}/members/"): Who.MEMBER,
    ("GET", "/teams/{team}/members/{member}/"): Who.MEMBER,
    ("POST", "/teams/{team}/members/{member}/role"): Who.ADMIN,
    ("POST", "/teams/{team}/members/{member}/remove"): Who.ADMIN,
    ("POST", "/teams/{team}/invitations/"): Who.ADMIN,
    ("POST", "/teams/{team}/invitations/{invitation}/resend"): Who.ADMIN,
    ("POST", "/teams/{team}/invitations/{invitation}/withdraw"): Who.ADMIN,
    ("GET", "/teams/{team}/leave"): Who.MEMBER,
    ("POST", "/teams/{team}/leave"): Who.MEMBER,
    ("GET", "/teams/{team}/delete"): Who.MEMBER,
    ("POST", "/teams/{team}/delete"): Who.OWNER,
    ("GET", "/console"): Who.USER,
    ("GET", "/teams/{team}/"): Who.MEMBER,
    ("GET", "/sign-in/code"): Who.ANYONE,  # whose sign-in waits for a code is in a cookie of its own
    ("POST", "/sign-in/code"): Who.ANYONE,
    ("GET", "/account/"): Who.USER,
    ("POST", "/account/name"): Who.USER,
    ("POST", "/account/password"): Who.USER,
    ("POST", "/account/sessions/end-others"): Who.USER,
    ("POST", "/account/sessions/end-all"): Who.USER,
    ("POST", "/account/sessions/{session}/end"): Who.USER,
    ("GET", "/account/second-factor/"): Who.USER,
    ("POST", "/account/second-factor/begin"): Who.USER,
    ("POST", "/account/second-factor/cancel"): Who.USER,
    ("POST", "/account/second-factor/confirm"): Who.USER,
    ("POST", "/account/second-factor/off"): Who.USER,
    ("POST", "/account/second-factor/recovery-codes"): Who.USER,
    ("GET", "/teams/{team}/audit/"): Who.ADMIN,
    ("GET", "/teams/{team}/audit/audit.csv"): Who.ADMIN,
    ("GET", "/teams/{team}/security/"): Who.ADMIN,
    ("POST", "/teams/{team}/security/"): Who.OWNER,
    ("POST", "/teams/{team}/seats/{member}/assign"): Who.ADMIN,
    ("POST", "/teams/{team}/seats/{member}/release"): Who.ADMIN,
    ("GET", "/teams/{team}/plan/"): Who.MEMBER,
    ("POST", "/teams/{team}/plan/"): Who.ADMIN,
    ("GET", "/teams/{team}/notices/"): Who.MEMBER,
    ("POST", "/teams/{team}/notices/"): Who.ADMIN,
    ("POST", "/teams/{team}/notices/test"): Who.ADMIN,
    ("POST", "/teams/{team}/notices/{delivery}/replay"): Who.ADMIN,
    ("GET", "/teams/{team}/outcomes/"): Who.MEMBER,
    ("POST", "/teams/{team}/outcomes/"): Who.ADMIN,
    ("POST", "/teams/{team}/outcomes/{outcome}/rename"): Who.ADMIN,
    ("POST", "/teams/{team}/outcomes/{outcome}/move"): Who.ADMIN,
    ("POST", "/teams/{team}/outcomes/{outcome}/archive"): Who.ADMIN,
    ("POST", "/teams/{team}/outcomes/{outcome}/bring-back"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/"): Who.ADMIN,
    ("POST", "/teams/{team}/assistants/{assistant}/archive"): Who.ADMIN,
    ("POST", "/teams/{team}/assistants/{assistant}/bring-back"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/try"): Who.MEMBER,
    ("GET", "/teams/{team}/assistants/{assistant}/widgets/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/widgets/"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/widgets/{widget}/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/widgets/{widget}/"): Who.ADMIN,
    ("POST", "/teams/{team}/assistants/{assistant}/widgets/{widget}/allow"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/widgets/{widget}/rotate"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/widgets/{widget}/rotate"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/answers/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/answers/"): Who.ADMIN,
    ("POST", "/teams/{team}/assistants/{assistant}/answers/try"): Who.ADMIN,  # an answer may cost the team money
    ("GET", "/teams/{team}/assistants/{assistant}/entries/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/entries/"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/entries/list"): Who.MEMBER,
    ("GET", "/teams/{team}/assistants/{assistant}/entries/new"): Who.MEMBER,
    ("GET", "/teams/{team}/assistants/{assistant}/entries/import"): Who.ADMIN,
    ("POST", "/teams/{team}/assistants/{assistant}/entries/import"): Who.ADMIN,
    ("POST", "/teams/{team}/assistants/{assistant}/entries/import/preview"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/entries/{entry}/"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/entries/{entry}/"): Who.ADMIN,
    ("GET", "/teams/{team}/assistants/{assistant}/entries/{entry}/edit"): Who.MEMBER,
    ("POST", "/teams/{team}/assistants/{assistant}/entries/{entry}/delete"): Who.ADMIN,
}

COMMANDS: dict[tuple[str, str], Who] = {
    ("/customers", "post_message"): Who.CUSTOMER,
    ("/customers", "catch_up"): Who.CUSTOMER,
    ("/customers", "typing"): Who.CUSTOMER,
    ("/customers", "request_human"): Who.CUSTOMER,
    ("/customers", "leave_email"): Who.CUSTOMER,
    ("/customers", "end_conversation"): Who.CUSTOMER,
    ("/customers", "rate_conversation"): Who.CUSTOMER,
    ("/agents", "watch"): Who.AGENT,  # a suspended seat: of their own conversations only
    ("/agents", "unwatch"): Who.USER,  # leaving a room that one is not in leaves nothing
    ("/agents", "open_conversation"): Who.AGENT,
    ("/agents", "take_over"): Who.AGENT,
    ("/agents", "mark_read"): Who.AGENT,
    ("/agents", "add_note"): Who.AGENT,
    ("/agents", "post_message"): Who.CONVERSATION_OWNER,
    ("/agents", "typing"): Who.CONVERSATION_OWNER,
    ("/agents", "close_conversation"): Who.CONVERSATION_OWNER,
}

DOORS: dict[str, frozenset[Who]] = {
    "/customers": frozenset({Who.CUSTOMER}),
    "/agents": frozenset({Who.USER, Who.AGENT, Who.CONVERSATION_OWNER}),
}


def of_route(method: str, path: str) -> Who:
    """The rule of a route, by the path of its pattern. Raises KeyError for one that is not in the table."""
    if ("*", path) in ROUTES:
        return ROUTES["*", path]
    return ROUTES["GET" if method == "HEAD" else method, path]


def of_command(namespace: str, name: str) -> Who:
    """The rule of a command. Raises KeyError for one that is not in the table, or that its door cannot keep."""
    who = COMMANDS[namespace, name]
    if who not in DOORS[namespace]:
        raise KeyError(f"{namespace} does not know {who.value}")
    return who


def must_be(who: Who, session_id: str, team_id: str) -> Agent:
    """The member who asks, if the rule lets them. Raises SignedOut, NotFound, SecondFactorNeeded, NoSeat, Forbidden."""
    agent = agent_in(team_id, session_id)
    match who:
        case Who.AGENT:
            agent.must_hold_seat()
        case Who.CONVERSATION_OWNER:
            agent.must_have_seat()
        case Who.ADMIN:
            agent.must_be_admin()
        case Who.OWNER:
            if agent.role != "owner":
                raise Forbidden
    return agent
