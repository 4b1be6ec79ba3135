"""The time in epoch milliseconds, and ids that sort roughly by it. Order between messages never depends on either."""

import secrets
import time


def now() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """28 hex digits: 12 of time, so that rows made together lie together in an index, and 64 random bits."""
    return f"{now():012x}{secrets.token_hex(8)}"
