"""HTTP: pages, health and the edge around them. `setup` puts the routes on an application."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from handoff.assistants import Provider
from handoff.database import Database
from handoff.identity import Passwords
from handoff.invitations import Links
from handoff.mail import Mail
from handoff.seals import Seal
from handoff.second_factor import Secrets
from handoff.settings import Settings
from handoff.trials import Trials

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class House:
    """What pages work with."""

    settings: Settings
    database: Database
    passwords: Passwords
    sign_in_limiter: FixedWindowRateLimiter
    sign_in_rate: RateLimitItemPerMinute
    secrets: Secrets
    links: Links
    mail: Mail
    keys: Seal  # of assistants' keys
    notice_keys: Seal
    trials: Trials


HOUSE = web.AppKey("house", House)
SET_UP = "/account/second-factor/"  # where whoever lacks a second factor is led


def setup(
    app: web.Application,
    settings: Settings,
    database: Database,
    passwords: Passwords,
    providers: Mapping[str, Provider],
    keys: Seal,
    notice_keys: Seal,
    mail: Mail,
) -> None:
    from handoff.pages import (
        account,
        answers,
        api,
        assistants,
        audit,
        console,
        edge,
        entries,
        founding,
        guard,
        health,
        imports,
        invitations,
        members,
        notices,
        outcomes,
        plan,
        seats,
        second_factor,
        security,
        shop,
        sign_in,
        widget,
        widgets,
    )

    app[HOUSE] = House(
        settings,
        database,
        passwords,
        FixedWindowRateLimiter(MemoryStorage()),
        RateLimitItemPerMinute(settings.sign_ins_per_minute),
        Secrets(settings.secret_key.get_secret_value()),
        Links(settings.secret_key.get_secret_value()),
        mail,
        keys,
        notice_keys,
        Trials(providers, settings.turn_seconds),
    )
    aiohttp_jinja2.setup(
        app, loader=jinja2.FileSystemLoader(ROOT / "templates"), undefined=jinja2.StrictUndefined, auto_reload=False
    )
    edge.setup(app)
    widget.setup(app)
    guard.setup(app)
    app.add_routes([*members.routes, *invitations.routes, *founding.routes])
    app.add_routes([*health.routes, *sign_in.routes, *console.routes, *widget.routes])
    app.add_routes([*seats.routes, *assistants.routes, *entries.routes, *imports.routes, *outcomes.routes])
    app.add_routes([*widgets.routes, *answers.routes])
    app.add_routes([*plan.routes, *api.routes, *notices.routes])
    app.add_routes([*account.routes, *second_factor.routes, *security.routes, *audit.routes])
    if settings.demo:
        app.add_routes(shop.routes)
    app.router.add_static("/static", ROOT / "static")
