"""Everything an operator can set, from HANDOFF_* in the environment or a .env file. Nothing else reads the environment."""

import os
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "HANDOFF_"


class SettingsError(Exception):
    """A wrong or missing setting; its text is the one line that an operator reads."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    base_url: str = Field("", description="the address people use, e.g. https://chat.example.org; default http://host:port")
    database_url: str = Field("sqlite:///var/handoff.db", description="`sqlite:///path` or `postgresql://user:password@host/name`")
    redis_url: str = Field("", description="`redis://...`: needed when several processes serve one database")
    secret_key: SecretStr = Field(
        description="at least 16 characters; signs customers' tokens, encrypts keys and second factors. Required"
    )
    demo: bool = Field(False, description="fill an empty database with a demo team and serve the demo shop at /shop")
    plans: dict[str, dict[str, int]] = Field(
        default={"free": {"human_agents": 1}, "team": {"human_agents": 5}, "business": {"human_agents": 25}},
        description="JSON: plan name to its credits",
    )
    billing_key: SecretStr = Field(
        SecretStr(""), description="at least 16 characters; signs the call that sets a team's plan. None: no such call"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    session_days: int = Field(14, ge=1, le=365, description="days until a sign-in ends by itself")
    words_per_second: float = Field(18, gt=0, le=10_000, description="pace at which the built-in assistant writes")
    turn_seconds: float = Field(40, gt=0, description="longest time one answer of an assistant may take")
    first_byte_seconds: float = Field(15, gt=0, description="longest wait for the first byte of a model or webhook")
    idle_seconds: float = Field(10, gt=0, description="longest pause between two pieces of a model's or webhook's answer")
    allow_private_addresses: bool = Field(
        False, description="let models and webhooks have private and loopback addresses, which teams could otherwise spy out"
    )
    lease_seconds: float = Field(
        6, ge=1, description="after this long without a sign of life a turn is taken up by another process"
    )
    sweep_seconds: float = Field(
        2, gt=0, description="pause between two looks for aged conversations, abandoned turns and unanswered customers"
    )
    max_connections: int = Field(10_000, ge=1, description="live sockets of one process")
    max_connections_per_address: int = Field(1_000, ge=1, description="live sockets from one address")
    trusted_proxies: list[str] = Field([], description="JSON: addresses of reverse proxies whose X-Forwarded-For is believed")
    max_queued_packets: int = Field(2_000, ge=10, description="packets that wait for one client before it is dropped")
    commands_per_10_seconds: int = Field(600, ge=1, description="commands of one person; more get `rate_limited`")
    sign_ins_per_minute: int = Field(100, ge=1, description="failed sign-ins of one e-mail address; more get refused")
    sign_up: bool = Field(False, description="let anybody begin a team of their own at /sign-up")
    smtp_url: SecretStr = Field(
        SecretStr(""), description="`smtp://user:password@host:587` (STARTTLS where offered) or `smtps://...`: mails invitations"
    )
    mail_from: str = Field("", validate_default=True, description="the address that mail comes from; required with a mail server")

    @field_validator("secret_key")
    @classmethod
    def long_enough(cls, key: SecretStr) -> SecretStr:
        if len(key.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters")
        return key

    @field_validator("billing_key")
    @classmethod
    def long_enough_if_any(cls, key: SecretStr) -> SecretStr:
        return cls.long_enough(key) if key.get_secret_value() else key

    @field_validator("smtp_url")
    @classmethod
    def known_mail_server(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if url.get_secret_value() and (parts.scheme not in ("smtp", "smtps") or not parts.hostname):
            raise ValueError("must be smtp://user:password@host:port or smtps://...")
        return url

    @field_validator("mail_from")
    @classmethod
    def one_sender(cls, sender: str, others: ValidationInfo) -> str:
        smtp_url = others.data.get("smtp_url")
        if sender and not (sender.isprintable() and "@" in parseaddr(sender)[1]):
            raise ValueError("must be an address like Handoff <handoff@example.org>")
        if smtp_url is not None and smtp_url.get_secret_value() and not sender:
            raise ValueError("is required with HANDOFF_SMTP_URL")
        return sender

    @field_validator("database_url")
    @classmethod
    def known_database(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme == "sqlite" and url.startswith("sqlite:///") and len(parts.path) > 1:
            return url
        if parts.scheme in ("postgresql", "postgres") and len(parts.path) > 1:
            return url.replace("postgres://", "postgresql://", 1)
        raise ValueError("must be sqlite:///path or postgresql://user:password@host/name")

    @field_validator("redis_url")
    @classmethod
    def known_redis(cls, url: str) -> str:
        if url and urlsplit(url).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url

    @field_validator("base_url")
    @classmethod
    def bare_origin(cls, url: str) -> str:
        if not url:
            return url
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/") or parts.query:
            raise ValueError("must be http(s)://host[:port] and nothing more")
        return f"{parts.scheme}://{parts.netloc}".lower()

    @field_validator("plans")
    @classmethod
    def plans_with_seats(cls, plans: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
        for name, credits in plans.items():
            if set(credits) != {"human_agents"} or credits["human_agents"] < 0:
                raise ValueError(f'plan {name} must be {{"human_agents": a number of seats}}')
        if not plans:
            raise ValueError("must name at least one plan")
        return plans

    @property
    def address(self) -> str:
        """The URL that people use to reach this server, without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.base_url or f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.port}"  # noqa: S104

    @property
    def origins(self) -> frozenset[str]:
        """Origins whose pages may use a session cookie here. Loopback has three names unless one was chosen."""
        if self.base_url or not _is_loopback(self.host):
            return frozenset({self.address})
        return frozenset(f"http://{host}:{self.port}" for host in ("127.0.0.1", "localhost", "[::1]"))

    @property
    def secure(self) -> bool:
        """Whether people come over TLS, so that the cookie may say Secure."""
        return self.address.startswith("https:")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load(**given: Any) -> Settings:
    """Read the settings; raises SettingsError with one line that names the setting which is wrong or missing."""
    try:
        return Settings(**given)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        name = PREFIX + str(fault["loc"][0]).upper()
        words = "is not set" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name}: {words}") from None
    except ValueError as error:
        # pydantic-settings meets a value that is not JSON before validation begins, and names its field in words.
        raise SettingsError(f"{PREFIX}{_field_in(str(error)).upper()}: {error}") from None


def unknown_names() -> list[str]:
    """Names in the environment that look like ours and are no setting, most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _field_in(words: str) -> str:
    return next((name for name in Settings.model_fields if f'"{name}"' in words), "settings")
