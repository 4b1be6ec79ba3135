"""Where an assistant's answers come from, as admins choose it: from the built-in one, a model, or the team's own program.

Keys go in and never out: the database keeps them sealed, pages say only whether there is one.
"""

import hashlib
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from handoff import audit
from handoff.assistants.addresses import is_public
from handoff.database import Happened
from handoff.errors import NotFound, Refused
from handoff.events import storable
from handoff.knowledge import Typed, one_line
from handoff.models import Assistant
from handoff.seals import Seal
from handoff.seats import admin_in

KEYS = ("model_key", "webhook_key")
WARMEST = 2.0
HTTPS = "Start the address with https://."


class AnswersIncomplete(Refused):
    """What was typed cannot answer; `faults` are words by field."""

    status = 422

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__("Some of these settings need another look.")
        self.faults = faults


class ChangedMeanwhile(Refused):
    code = "conflict"
    status = 409
    message = "Somebody else saved these settings while you were typing."

    def __init__(self, assistant: Assistant) -> None:
        super().__init__()
        self.assistant = assistant


def _warmth(typed: Any) -> Any:
    """A temperature as people write it; nothing means the endpoint's own."""
    text = str(typed).strip().replace(",", ".")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= WARMEST:  # no NaN is
        raise ValueError("must be a number from 0 to 2, or empty")
    return number


OneLine = Annotated[str, AfterValidator(storable), AfterValidator(one_line)]
Address = Annotated[OneLine, Field(max_length=500)]
Key = Annotated[OneLine, Field(max_length=1_000)]


class AnswersTyped(Typed):
    """The form. An empty key keeps the one that is set."""

    provider: Literal["built_in", "model", "webhook"]
    base_url: Address
    model: Annotated[OneLine, Field(max_length=200)]
    model_key: Key
    remove_model_key: Literal["", "yes"]
    instructions: Annotated[str, Field(max_length=8_000), AfterValidator(storable)]
    temperature: Annotated[float | None, BeforeValidator(_warmth)]
    answer_tokens: Annotated[int, Field(ge=1, le=32_000)]
    webhook_url: Address
    webhook_key: Key


SHOWN = tuple(name for name in AnswersTyped.model_fields if name not in (*KEYS, "remove_model_key"))


def shown_of(assistant: Assistant) -> dict[str, str]:
    """What the fields of the form begin with: everything but the keys."""
    return {name: _as_typed(getattr(assistant, name)) for name in SHOWN}


def _as_typed(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def mark_of(assistant: Assistant) -> str:
    """A short mark of these settings, which tells whether they still are the same; of the keys it knows the sealed form."""
    values = [getattr(assistant, name) for name in (*SHOWN, *KEYS)]
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def change(
    session_id: str, team_id: str, assistant_id: str, typed: AnswersTyped, mark: str, keys: Seal, allow_private: bool
) -> Happened[None]:
    """Save, if these settings still are those of that mark. What stands there already is saved already.

    Raises AnswersIncomplete, ChangedMeanwhile.
    """
    admin = admin_in(team_id, session_id)
    kept = Assistant.get_or_none(Assistant.id == assistant_id, Assistant.team == team_id)
    if kept is None:
        raise NotFound
    if _is_kept(typed, kept, keys):
        return Happened(None)
    faults = _faults(typed, kept, allow_private)
    if faults:
        raise AnswersIncomplete(faults)
    if mark_of(kept) != mark:
        raise ChangedMeanwhile(kept)
    columns = {**typed.model_dump(include=set(SHOWN)), **_sealed(typed, keys), "version": kept.version + 1}
    saved = Assistant.update(columns).where(Assistant.id == assistant_id, Assistant.version == kept.version).execute()
    if not saved:  # something of the assistant was saved between the two statements
        raise ChangedMeanwhile(Assistant.get_by_id(assistant_id))
    audit.note(team_id, admin.user_id, "answers_changed", assistant_id=assistant_id, name=kept.name, provider=typed.provider)
    return Happened(None)


def _is_kept(typed: AnswersTyped, kept: Assistant, keys: Seal) -> bool:
    """Whether a form says what stands there, as one that was sent twice does."""
    if any(getattr(typed, name) != getattr(kept, name) for name in SHOWN):
        return False
    if typed.remove_model_key and kept.model_key:
        return False
    return all(not getattr(typed, name) or keys.open(getattr(kept, name)) == getattr(typed, name) for name in KEYS)


def _sealed(typed: AnswersTyped, keys: Seal) -> dict[str, str]:
    """The columns of the keys that change."""
    columns = {"model_key": ""} if typed.remove_model_key else {}
    return columns | {name: keys.close(getattr(typed, name)) for name in KEYS if getattr(typed, name)}


def _faults(typed: AnswersTyped, kept: Assistant, allow_private: bool) -> dict[str, str]:
    faults = {name: fault_of_address(getattr(typed, name), allow_private) for name in ("base_url", "webhook_url")}
    if typed.provider == "model":
        if not typed.base_url:
            faults["base_url"] = "Where does the model answer? Enter its address."
        if not typed.model:
            faults["model"] = "Which model is to answer? Enter its name."
    if typed.provider == "webhook":
        if not typed.webhook_url:
            faults["webhook_url"] = "Where does your program answer? Enter its address."
        if not (typed.webhook_key or kept.webhook_key):
            faults["webhook_key"] = "Your program needs a secret to know us by: generate one."
    if kept.model_key and not typed.model_key and not typed.remove_model_key and _place(typed.base_url) != _place(kept.base_url):
        # Whoever may change the address must not get to read the key by it.
        faults["model_key"] = "The address is another one now: type the key again, or remove it. It is sent to no other place."
    return {name: words for name, words in faults.items() if words}


def fault_of_address(address: str, allow_private: bool) -> str:
    if not address:
        return ""
    parts = _parts(address)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or any(letter.isspace() for letter in address):
        return f"This is no address. {HTTPS}" if "://" in address else HTTPS
    if parts.scheme != "https" and not allow_private:
        return f"{HTTPS} Without the s everybody on the way could read it."
    if parts.username is not None or parts.fragment:
        return "Leave out names, passwords and anything after a #. A key has its own field."
    if not allow_private and _is_private(parts.hostname):
        return "This address is not on the public internet. The operator of Handoff can allow such addresses."
    return ""


def _parts(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        return None
    return parts


def _is_private(host: str) -> bool:
    """Whether a host says so itself; what a name means is looked at when it is asked."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not is_public(str(ip_address(host)))
    except ValueError:
        return False


def _place(address: str) -> tuple[str, str | None, int | None] | None:
    parts = _parts(address)
    return parts and (parts.scheme, parts.hostname, parts.port)
