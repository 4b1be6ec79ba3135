"""What people are asked for about themselves, and the rows that they become."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from handoff.errors import Refused
from handoff.events import not_blank, storable
from handoff.knowledge import one_line
from handoff.models import User

_address = re.compile(r"[^\s@<>()\[\]\",;:\\]+@[^\s@<>()\[\]\",;:\\.]+(\.[^\s@<>()\[\]\",;:\\.]+)*")


class EmailTaken(Refused):
    code = "conflict"
    status = 409
    message = "Somebody signs in with this address already. If that is you, sign in first."


def plain_address(text: object) -> object:
    """As it is kept and compared: without space around it, in small letters."""
    return text.strip().lower() if isinstance(text, str) else text


def an_address(text: str) -> str:
    if not _address.fullmatch(text) or not text.isprintable():
        raise ValueError("is no e-mail address. Enter one like name@example.org")
    return text


Email = Annotated[
    str,
    Field(max_length=254),
    BeforeValidator(plain_address),
    AfterValidator(storable),
    AfterValidator(not_blank),
    AfterValidator(an_address),
]
OneLine = Annotated[str, Field(max_length=80), AfterValidator(storable), AfterValidator(not_blank), AfterValidator(one_line)]


def add_user(name: str, email: str, password_hash: str) -> User:
    """A new user. Raises EmailTaken before anything is written."""
    if User.select().where(User.email == email).exists():
        raise EmailTaken
    user: User = User.create(name=name, email=email, password_hash=password_hash)
    return user
