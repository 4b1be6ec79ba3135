"""What forms of settings pages have in common: how they open, what they bring, and how they come back."""

from typing import Any

from aiohttp import web

from handoff.clock import new_id
from handoff.meanwhile import Began, ChangedMeanwhile, Values
from handoff.pages.team import see, wants_partial


def opened(shown: Values, version: int) -> dict[str, Any]:
    """A form as it opens: nothing of it is typed yet."""
    return {"typed": shown, "faults": {}, "began": Began.of(version, shown), "meanwhile": None, "is_unsaved": False}


def refused(typed: Values, faults: dict[str, str], began: Began) -> dict[str, Any]:
    """It comes back as it was typed, and goes on from what it began with."""
    return {"typed": typed, "faults": faults, "began": began, "is_unsaved": True}


def told(meanwhile: ChangedMeanwhile) -> dict[str, Any]:
    """It comes back with what was typed, and with what others saved where nothing was."""
    return {"typed": meanwhile.typed, "began": meanwhile.began, "meanwhile": meanwhile, "is_unsaved": True}


def replacing(answer: web.Response) -> web.Response:
    """Put in the form's place as it is: a morph would leave in a field what was typed there, and what was typed and put back."""
    answer.headers["HX-Reswap"] = "outerHTML"
    return answer


def id_for(form: dict[str, str], name: str) -> str:
    """The id that a form was given for what it makes, so that sending it twice makes one; a new one where it brings none."""
    given = form.get(name, "")
    return given if given.isalnum() and given.isascii() and len(given) <= 64 else new_id()


def lead(request: web.Request, path: str) -> web.Response:
    """To another page, with htmx too."""
    return web.Response(headers={"HX-Redirect": path}) if wants_partial(request) else see(path)
