"""What the database keeps encrypted: a secret is sealed for one purpose, under a key made from the operator's."""

import base64

import structlog
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

log = structlog.get_logger()


class Seal:
    """What is closed for one purpose cannot be opened for another."""

    def __init__(self, secret_key: str, purpose: str) -> None:
        key = HKDF(SHA256(), 32, salt=None, info=f"handoff {purpose}".encode()).derive(secret_key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self._purpose = purpose

    def close(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str | None) -> str | None:
        """The text; None where there is none, or the operator changed the key."""
        try:
            return self._fernet.decrypt(sealed).decode() if sealed else None
        except InvalidToken:
            log.warning("seal_unreadable", purpose=self._purpose)
            return None
