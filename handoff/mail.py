"""Mail by SMTP, where the operator has set it up. What cannot be mailed is shown to be copied."""

import asyncio
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

log = structlog.get_logger()

PATIENCE = 8  # seconds that a page waits for the mail server
PORTS = {"smtp": 587, "smtps": 465}


class MailFailed(Exception):
    """The mail server could not be reached or did not take it."""


class Mail:
    def __init__(self, url: str, sender: str) -> None:
        """`url` is `smtp://user:password@host:port` (STARTTLS where it is offered) or `smtps://...`; empty: no mail."""
        self._server = urlsplit(url)
        self._sender = sender

    @property
    def is_on(self) -> bool:
        return bool(self._server.hostname)

    async def send(self, to: str, subject: str, text: str, event: str = "") -> None:
        """Hand one mail to the server. Sent again with its `event` it is the same mail. Raises MailFailed."""
        message = EmailMessage()
        try:
            message["From"], message["To"], message["Subject"] = self._sender, to, subject
            message["Date"] = formatdate()
            message["Message-ID"] = f"<{event}@handoff.invalid>" if event else make_msgid(domain="handoff.invalid")
            message["Auto-Submitted"] = "auto-generated"
            message.set_content(text)
            async with asyncio.timeout(PATIENCE):  # for all of it; the library counts each step alone
                await aiosmtplib.send(message, **self._connection())
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError, UnicodeError) as error:
            log.warning("mail_failed", error=type(error).__name__)
            raise MailFailed from error

    def _connection(self) -> dict[str, Any]:
        server = self._server
        return {
            "hostname": server.hostname,
            "port": server.port or PORTS[server.scheme],
            "username": unquote(server.username) if server.username else None,
            "password": unquote(server.password) if server.password else None,
            "use_tls": server.scheme == "smtps",
            "timeout": PATIENCE,
        }
