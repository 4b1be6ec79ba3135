"""Where an assistant's answers come from, as admins choose it: from the built-in one, a model, or the team's own program.

Keys go in and never out: the database keeps them sealed, pages say only whether there is one.
"""

from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from handoff import meanwhile
from handoff.assistants.addresses import is_public
from handoff.database import Happened
from handoff.errors import Refused
from handoff.events import storable
from handoff.knowledge import Typed, one_line
from handoff.meanwhile import Began, Edit, Values
from handoff.models import Assistant
from handoff.seals import Seal
from handoff.seats import admin_in

KEYS = ("model_key", "webhook_key")
ANOTHER_KEY = "another"  # stands for one that was typed
WARMEST = 2.0
HTTPS = "Start the address with https://."


class AnswersIncomplete(Refused):
    """What was typed cannot answer; `faults` are words by field."""

    status = 422

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__("Some of these settings need another look.")
        self.faults = faults


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
    return round(number, 4)  # what a column of single precision gives back as it was typed


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


def shown_of(assistant: Assistant) -> Values:
    """What the fields of the form begin with. Of a key it tells which one it is, by its sealed form, and nothing else."""
    shown = {name: _as_typed(getattr(assistant, name)) for name in SHOWN}
    return shown | {name: meanwhile.mark(sealed) if (sealed := getattr(assistant, name)) else "" for name in KEYS}


def _as_typed(value: Any) -> str:
    return "" if value is None else str(value).removesuffix(".0")


def change(
    session_id: str, team_id: str, assistant_id: str, typed: AnswersTyped, began: Began, keys: Seal, allow_private: bool
) -> Happened[None]:
    """Save the settings. Raises AnswersIncomplete, ChangedMeanwhile."""
    admin = admin_in(team_id, session_id)
    kept = meanwhile.held(Assistant, (Assistant.id == assistant_id) & (Assistant.team == team_id))
    edit = Edit(admin, "answers_changed", kept, shown_of(kept), _shown(typed, kept, keys), began)
    if not edit.fields:
        return Happened(None)
    edit.must_be_unchanged()
    faults = _faults(typed, kept, allow_private)
    if faults:
        raise AnswersIncomplete(faults)
    columns = {**typed.model_dump(include=set(SHOWN)), **_sealed(typed, keys, edit.fields)}
    edit.save(columns, name=kept.name, provider=typed.provider)
    return Happened(None)


def _shown(typed: AnswersTyped, kept: Assistant, keys: Seal) -> Values:
    """What the form would begin with when this is saved; a key that is typed as it is kept already stays the same."""
    shown = shown_of(kept) | {name: _as_typed(getattr(typed, name)) for name in SHOWN}
    for name in KEYS:
        if (key := getattr(typed, name)) and keys.open(getattr(kept, name)) != key:
            shown[name] = ANOTHER_KEY
    if typed.remove_model_key and not typed.model_key:
        shown["model_key"] = ""
    return shown


def _sealed(typed: AnswersTyped, keys: Seal, fields: list[str]) -> dict[str, str]:
    """The columns of the keys that change; one that is removed is empty."""
    texts = {name: getattr(typed, name) for name in KEYS if name in fields}
    return {name: keys.close(text) if text else "" for name, text in texts.items()}


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
