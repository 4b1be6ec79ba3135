"""Whether an agent is watching an assistant now, on this process or on another. The rooms are the truth; nothing is counted."""

from collections.abc import Iterable
from time import monotonic

from socketio import AsyncServer

REMEMBERED = 10.0  # seconds that another process's word counts


class Presence:
    def __init__(self, server: AsyncServer) -> None:
        self._server = server
        self._elsewhere: dict[str, tuple[float, frozenset[str]]] = {}

    def is_watched(self, assistant_id: str) -> bool:
        here = self._server.manager.get_participants("/agents", f"assistant:{assistant_id}")
        return any(True for _ in here) or any(
            assistant_id in watched for heard, watched in self._elsewhere.values() if monotonic() - heard < REMEMBERED
        )

    def watched_here(self) -> list[str]:
        """The assistants that somebody watches on this process."""
        rooms = self._server.manager.rooms.get("/agents", {})
        return [room.removeprefix("assistant:") for room in rooms if room is not None and room.startswith("assistant:")]

    def heard(self, process: str, watched: Iterable[str]) -> None:
        """Another process says what its agents watch."""
        self._elsewhere[process] = (monotonic(), frozenset(watched))
        for name, (since, _) in list(self._elsewhere.items()):
            if monotonic() - since > REMEMBERED:
                del self._elsewhere[name]
