"""The team's own assistant behind a signed POST."""

from collections.abc import AsyncGenerator

from handoff.assistants import AnswerFailed, Piece, Question


class Webhook:
    async def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Stream the answer. Raises AnswerFailed."""
        if len(question.lines) >= 0:
            raise AnswerFailed("This kind of assistant cannot answer yet.")
        yield ""
