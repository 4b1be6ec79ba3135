"""Refusals. An operation raises one before it has written anything; the edge turns it into an ack or a page."""

from typing import Any, ClassVar


class Refused(Exception):
    """A command that may not be carried out, with a code of the wire and words for a person."""

    code: ClassVar[str] = "invalid"
    status: ClassVar[int] = 400  # of the page that says it
    message: ClassVar[str] = "That is not possible."

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.words = message or self.message
        self.details = details
        super().__init__(self.words)

    def as_ack(self) -> dict[str, Any]:
        return {"error": {"code": self.code, "message": self.words, "details": self.details}}


class Invalid(Refused):
    code = "invalid"
    message = "That is not well formed."


class TooLarge(Refused):
    code = "too_large"
    status = 413
    message = "That is too long."


class NotFound(Refused):
    """Not there, and not yours: the same answer, so that nobody learns which ids exist."""

    code = "not_found"
    status = 404
    message = "There is no such thing here."


class Forbidden(Refused):
    code = "forbidden"
    status = 403
    message = "Your role does not allow that."


class NoSeat(Refused):
    code = "no_seat"
    status = 403
    message = "You need a seat to do that. Ask an admin of your team."


class SecondFactorNeeded(Refused):
    code = "second_factor"
    status = 403
    message = "This team requires a second factor. Set one up in your account first."


class AlreadyTaken(Refused):
    code = "already_taken"

    def __init__(self, owner: dict[str, str]) -> None:
        super().__init__(f"{owner['name']} already has this conversation.", owner=owner)


class NotOwner(Refused):
    code = "not_owner"
    message = "Take the conversation over first."


class Closed(Refused):
    code = "closed"
    message = "This conversation is closed."


class Conflict(Refused):
    code = "conflict"
    status = 409
    message = "The same client_id was used for something else."


class RateLimited(Refused):
    code = "rate_limited"
    status = 429

    def __init__(self, retry_after: float) -> None:
        super().__init__("Too many at once. Wait a moment.", retry_after=retry_after)


class Unavailable(Refused):
    code = "unavailable"
    status = 503
    message = "The service cannot do that right now. Try again."


class SignedOut(Refused):
    """The session ended. On a live socket it is followed by a disconnect."""

    code = "forbidden"
    status = 401
    message = "You are signed out. Sign in again."


class TurnEnded(Refused):
    """The turn is not current any more: a takeover, a close or another process ended it. Never seen on the wire."""

    message = "The turn has ended."
