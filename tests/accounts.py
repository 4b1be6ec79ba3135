"""People with a password and an authenticator, in browsers without JavaScript that keep their cookies."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pyotp
import pytest
from argon2 import PasswordHasher

from handoff import identity
from handoff.models import User
from tests.cast import Agent, Stage

PASSWORD = "violet tram over water"
HTMX = {"HX-Request": "true"}
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


@dataclass
class Seen:
    """A response, read."""

    status: int
    text: str
    headers: Any

    @property
    def words(self) -> str:
        """The page as a reader meets it: no tags, single spaces."""
        return " ".join(re.sub(r"<[^>]+>", " ", self.text).split())

    @property
    def location(self) -> str:
        return self.headers.get("Location", "")


@dataclass
class Browser:
    """It follows no redirect by itself."""

    http: aiohttp.ClientSession
    stage: Stage
    cookies: dict[str, str] = field(default_factory=dict)
    agent: str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

    async def look(self, path: str, **options: Any) -> Seen:
        return await self._ask("GET", path, **options)

    async def send(self, path: str, fields: dict[str, str] | None = None, **options: Any) -> Seen:
        return await self._ask("POST", path, data=fields or {}, **options)

    async def sign_in(self, email: str, password: str = PASSWORD, onward: str = "") -> Seen:
        return await self.send("/sign-in", {"email": email, "password": password, "next": onward})

    @property
    def cookie(self) -> str:
        return self.cookies[identity.COOKIE]

    async def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Seen:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"User-Agent": self.agent, **({"Cookie": cookies} if cookies else {}), **(headers or {})}
        url = self.stage.url + path
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            for name, morsel in response.cookies.items():
                self.cookies.pop(name, None)
                if morsel.value:
                    self.cookies[name] = morsel.value
            return Seen(response.status, await response.text(), response.headers)


class Authenticator:
    """An app on a phone whose clock the test sets: each code is one step later, so that none is asked for twice."""

    def __init__(self, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.totp = pyotp.TOTP(secret.replace(" ", ""))
        self.monkeypatch = monkeypatch
        self.time = identity.now()

    def code(self) -> str:
        """The code of now."""
        return str(self.totp.generate_otp(self.time // 30_000))

    def later(self, steps: int = 1) -> "Authenticator":
        """Let that many times half a minute go by, for the server as well."""
        self.time += steps * 30_000
        self.monkeypatch.setattr("handoff.second_factor.now", lambda: self.time)
        return self


NewBrowser = Callable[..., Awaitable[Browser]]


@pytest.fixture
async def new_browser(stage: Stage) -> AsyncIterator[NewBrowser]:
    """`browser = await new_browser(ada)`: signed in as that person, with a session of its own; without one, as nobody."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:

        async def new(person: Agent | None = None) -> Browser:
            browser = Browser(http, stage)
            if person is not None:
                assert (await browser.sign_in(await email_of(stage, person))).status == 303
            return browser

        yield new


async def email_of(stage: Stage, person: Agent) -> str:
    return await stage.look(lambda: User.get_by_id(person.user_id).email)


async def with_password(stage: Stage, person: Agent, password: str = PASSWORD) -> Agent:
    hashed = QUICK.hash(password)
    await stage.make(lambda: User.update(password_hash=hashed).where(User.id == person.user_id).execute())
    return person


async def user_of(stage: Stage, person: Agent) -> User:
    return await stage.look(lambda: User.get_by_id(person.user_id))


async def set_up(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> tuple[Authenticator, list[str]]:
    """Turn the second factor on; gives the app, and the recovery codes."""
    await browser.send("/account/second-factor/begin")
    page = await browser.look("/account/second-factor/")
    secret = re.search(r'id="secret"[^>]*>([^<]+)<', page.text)
    assert secret, page.words
    app = Authenticator(secret[1], monkeypatch)
    shown = await browser.send("/account/second-factor/confirm", {"code": app.code()})
    assert shown.status == 200, shown.words
    codes = re.findall(r"\b[a-z2-9]{4}(?:-[a-z2-9]{4}){3}\b", shown.text)
    return app, codes
