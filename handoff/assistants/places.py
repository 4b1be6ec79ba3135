"""How many answers are written at once, and whose turn it is: teams take turns, so that one that floods delays itself."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from handoff.assistants import AnswerFailed

WAITING = 2_000  # of one team


class Places:
    def __init__(self, many: int) -> None:
        self._free = many
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, team_id: str) -> AsyncIterator[None]:
        """Hold one of the places, once it is this team's turn. Raises AnswerFailed when too many wait."""
        await self._take(team_id)
        try:
            yield
        finally:
            self._give()

    async def _take(self, team_id: str) -> None:
        if self._free > 0:  # then nobody waits: whoever leaves hands the place on
            self._free -= 1
            return
        queue = self._waiting.setdefault(team_id, deque())
        if len(queue) >= WAITING:
            raise AnswerFailed("Too many customers of this team wait for an answer at once.")
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()  # it was given in the moment of leaving
            else:
                self._leave(team_id, turn)
            raise

    def _give(self) -> None:
        """To the first of the team that has waited longest for a turn; that team is the last then."""
        while self._waiting:
            team_id, queue = self._waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._waiting[team_id] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _leave(self, team_id: str, turn: "asyncio.Future[None]") -> None:
        queue = self._waiting.get(team_id)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[team_id]
