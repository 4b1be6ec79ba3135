"""Whether an agent is watching an assistant now, on this process or on another."""

from collections import Counter
from collections.abc import Iterable
from time import monotonic

REMEMBERED = 10.0  # seconds that another process's word counts


class Presence:
    def __init__(self) -> None:
        self._here: Counter[str] = Counter()
        self._elsewhere: dict[str, tuple[float, frozenset[str]]] = {}

    def came(self, assistant_id: str) -> None:
        self._here[assistant_id] += 1

    def went(self, assistant_id: str) -> None:
        self._here[assistant_id] -= 1
        if self._here[assistant_id] <= 0:
            del self._here[assistant_id]

    def is_watched(self, assistant_id: str) -> bool:
        return assistant_id in self._here or any(
            assistant_id in watched for heard, watched in self._elsewhere.values() if monotonic() - heard < REMEMBERED
        )

    def watched_here(self) -> list[str]:
        return list(self._here)

    def heard(self, process: str, watched: Iterable[str]) -> None:
        """Another process says what its agents watch."""
        self._elsewhere[process] = (monotonic(), frozenset(watched))
        for name, (since, _) in list(self._elsewhere.items()):
            if monotonic() - since > REMEMBERED:
                del self._elsewhere[name]
