"""Widgets: the front doors on web sites, as visitors find them and as admins keep them."""

import json
from typing import Annotated, Any, Literal

from peewee import Expression
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from handoff import audit, customers, meanwhile, sites
from handoff.clock import new_id, now
from handoff.database import Happened
from handoff.errors import NotFound, Refused
from handoff.events import WidgetsChanged, storable
from handoff.identity import CustomerToken
from handoff.knowledge import AssistantName, admin_of, assistant_of, one_line
from handoff.meanwhile import Began, Edit, Values
from handoff.models import Assistant, Widget
from handoff.seats import Agent
from handoff.workshop import new_key

MOST = 100  # of one assistant
MOST_SUGGESTIONS, SUGGESTION_LENGTH = 4, 80
SEEN_EVERY = 60_000  # milliseconds between two notes of where a widget was seen
LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "pt": "Português",
    "ja": "日本語",
    "ar": "العربية",
}


class TooMany(Refused):
    code = "conflict"
    status = 409
    message = f"An assistant has at most {MOST} widgets."


def _suggestions(text: str) -> list[str]:
    lines = [line.strip() for line in text.split("\n")]
    faults = [
        f"Line {number}: at most {SUGGESTION_LENGTH} characters, please; this has {len(line)}."
        for number, line in enumerate(lines, 1)
        if len(line) > SUGGESTION_LENGTH
    ]
    found = list(dict.fromkeys(one_line(storable(line)) for line in lines if line))
    if len(found) > MOST_SUGGESTIONS:
        faults.append(f"At most {MOST_SUGGESTIONS} suggestions, please; these are {len(found)}.")
    if faults:
        raise _in_words("\n".join(faults))
    return found


def _sites(text: str) -> list[str]:
    try:
        return sites.origins_of(text)
    except sites.NoSite as fault:
        raise _in_words(str(fault)) from None


def _in_words(words: str) -> PydanticCustomError:
    """A fault of several lines, each a sentence of its own."""
    return PydanticCustomError("in_words", "{words}", {"words": words})


Color = Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6})?$"), AfterValidator(str.lower)]
WidgetName = AssistantName


class WidgetSettings(WidgetName):
    """What an admin sets; an empty colour or greeting is the assistant's."""

    color: Color = ""
    line_color: Color = ""
    launcher: Annotated[str, Field(max_length=40), AfterValidator(storable), AfterValidator(one_line)] = ""
    greeting: Annotated[str, Field(max_length=1_000), AfterValidator(storable)] = ""
    suggestions: Annotated[list[str], BeforeValidator(_suggestions)] = []
    language: Literal["en", "de", "fr", "es", "pt", "ja", "ar"] = "en"
    sites: Annotated[list[str], BeforeValidator(_sites)] = []

    @property
    def shown(self) -> Values:
        """As the form shows them: a list as a line each."""
        return {**self.model_dump(), "suggestions": "\n".join(self.suggestions), "sites": "\n".join(self.sites)}

    @property
    def columns(self) -> dict[str, str]:
        """As they are kept."""
        return {**self.model_dump(), "suggestions": _json(self.suggestions), "sites": _json(self.sites)}


def find(key: Any, customer: CustomerToken | None = None) -> Any:
    """The widget of a key, with its assistant's name and color, or None.

    Where the key was rotated, a customer in mid-conversation goes on by the widget of their token.
    """
    if not _could_be(key):
        return None
    widget = _shown().where(Widget.key == key).first()
    if widget is None and customer is not None and customers.has_active(customer):
        widget = _shown().where(Widget.id == customer.widget_id).first()
    return widget


def find_frame(key: Any) -> Any:
    """The widget of a key, or of the key before its present one.

    The page opens by the former key too, and keeps it: by it the browser finds its token again. What that page may do is
    asked when it connects, where a former key lets in nobody but who is in mid-conversation.
    """
    if not _could_be(key):
        return None
    found = _shown().where((Widget.key == key) | (Widget.former_key == key)).order_by(Widget.created_at).first()
    if found is not None:
        found.key = key
    return found


def _could_be(key: Any) -> bool:
    return isinstance(key, str) and len(key) <= 100 and key.isascii() and key.isprintable()


def _shown() -> Any:
    columns = (
        Assistant.name.alias("assistant_name"),
        Assistant.color.alias("assistant_color"),
        Assistant.greeting.alias("assistant_greeting"),
        Assistant.team.alias("team_id"),
    )
    return Widget.select(Widget, *columns).join(Assistant).objects()


def look(widget: Any) -> dict[str, Any]:
    """What a widget shows of itself."""
    return {
        "key": widget.key,
        "name": widget.name,
        "assistant": {"name": widget.assistant_name, "color": widget.assistant_color},
        "greeting": widget.greeting or widget.assistant_greeting,
        "color": widget.color or widget.assistant_color,
        "line_color": widget.line_color or widget.color or widget.assistant_color,
        "launcher": widget.launcher,
        "suggestions": json.loads(widget.suggestions),
        "language": widget.language,
    }


def allows(widget: Any, origin: str) -> bool:
    """Whether a site may carry the widget; an empty list allows all."""
    allowed = json.loads(widget.sites)
    return not allowed or sites.allowed(allowed, origin)


def ancestors(widget: Any) -> str:
    """Who may frame the widget, as a policy says it."""
    allowed = json.loads(widget.sites)
    return sites.policy(allowed) if allowed else "*"


def must_be_noted(widget: Any) -> bool:
    """Whether it is time to write down where the widget is."""
    return widget.last_seen_at is None or now() - widget.last_seen_at >= SEEN_EVERY


def note_seen(widget_id: str, team_id: str, site: str) -> Happened[None]:
    """Write down where a widget was seen, at most once in SEEN_EVERY however many look, and tell the team of another site."""
    time = now()
    due = (Widget.id == widget_id) & (Widget.last_seen_at.is_null() | (Widget.last_seen_at <= time - SEEN_EVERY))
    elsewhere = Widget.last_site.is_null() | (Widget.last_site != site)
    if Widget.update(last_site=site, last_seen_at=time).where(due, elsewhere).execute():
        return Happened(None, [WidgetsChanged(team_id)])
    Widget.update(last_seen_at=time).where(due).execute()
    return Happened(None)


def of_assistant(session_id: str, team_id: str, assistant_id: str) -> tuple[Agent, Assistant, list[Widget]]:
    """The member who asks, the assistant and its widgets by name."""
    member, assistant = assistant_of(session_id, team_id, assistant_id)
    rows = Widget.select().where(Widget.assistant == assistant_id).order_by(Widget.name, Widget.id).limit(MOST)
    return member, assistant, list(rows)


def one(session_id: str, team_id: str, assistant_id: str, widget_id: str) -> tuple[Agent, Assistant, Widget]:
    member, assistant = assistant_of(session_id, team_id, assistant_id)
    return member, assistant, _widget(assistant_id, widget_id)


def add(session_id: str, team_id: str, assistant_id: str, widget_id: str, named: WidgetName) -> Happened[str]:
    """Add a widget under the id that its form was given, so that sending the form twice adds one. Answers with its id."""
    admin = admin_of(session_id, team_id, assistant_id)
    known = Widget.get_or_none(Widget.id == widget_id)
    if known is not None:
        if (known.assistant_id, known.name) == (assistant_id, named.name):
            return Happened(widget_id)
        widget_id = new_id()
    if Widget.select().where(Widget.assistant == assistant_id).count() >= MOST:
        raise TooMany
    Widget.create(id=widget_id, assistant=assistant_id, name=named.name, key=new_key())
    audit.note(team_id, admin.user_id, "widget_added", widget_id=widget_id, name=named.name)
    return Happened(widget_id, [WidgetsChanged(team_id)])


def shown_of(widget: Widget) -> Values:
    """What the fields of the form begin with."""
    values = {name: getattr(widget, name) for name in WidgetSettings.model_fields}
    return {**values, **{name: "\n".join(json.loads(values[name])) for name in ("suggestions", "sites")}}


def change(
    session_id: str, team_id: str, assistant_id: str, widget_id: str, settings: WidgetSettings, began: Began
) -> Happened[None]:
    """Set what was typed. Raises ChangedMeanwhile."""
    admin = admin_of(session_id, team_id, assistant_id)
    kept = meanwhile.held(Widget, _here(assistant_id, widget_id))
    edit = Edit(admin, "widget_changed", kept, shown_of(kept), settings.shown, began)
    if not edit.fields:
        return Happened(None)
    edit.must_be_unchanged()
    edit.save(settings.columns, name=settings.name)
    return Happened(None, [WidgetsChanged(team_id)])


def allow(session_id: str, team_id: str, assistant_id: str, widget_id: str, site: str) -> Happened[None]:
    """Add a site to those that may carry the widget; one that may already is not added again."""
    admin = admin_of(session_id, team_id, assistant_id)
    widget = meanwhile.held(Widget, _here(assistant_id, widget_id))
    allowed = json.loads(widget.sites)
    if not allowed or sites.allowed(allowed, site):
        return Happened(None)
    if len(allowed) >= sites.MOST:
        raise Refused(f"A widget has at most {sites.MOST} sites. Take one off the list first.")
    kept, more = shown_of(widget), [*allowed, site]
    edit = Edit(admin, "widget_changed", widget, kept, {**kept, "sites": "\n".join(more)}, Began.of(widget.version, kept))
    edit.save({"sites": _json(more)}, name=widget.name)
    return Happened(None, [WidgetsChanged(team_id)])


def rotate(session_id: str, team_id: str, assistant_id: str, widget_id: str, shown: str) -> Happened[None]:
    """Give the widget another key in the place of the one that was shown. Where it has another by now, that is done already."""
    admin = admin_of(session_id, team_id, assistant_id)
    here = _here(assistant_id, widget_id)
    rotated = Widget.update(key=new_key(), former_key=Widget.key).where(here, Widget.key == shown).execute()
    widget = _widget(assistant_id, widget_id)
    if not rotated:
        return Happened(None)
    audit.note(team_id, admin.user_id, "widget_key_rotated", widget_id=widget_id, name=widget.name)
    return Happened(None, [WidgetsChanged(team_id)])


def _widget(assistant_id: str, widget_id: str) -> Widget:
    found: Widget | None = Widget.get_or_none(_here(assistant_id, widget_id))
    if found is None:
        raise NotFound
    return found


def _here(assistant_id: str, widget_id: str) -> Expression:
    return (Widget.id == widget_id) & (Widget.assistant == assistant_id)


def _json(texts: list[str]) -> str:
    return json.dumps(texts, ensure_ascii=False)
