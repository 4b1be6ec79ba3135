"""An OpenAI-compatible endpoint."""

from collections.abc import AsyncGenerator

from handoff.assistants import AnswerFailed, Piece, Question


class Model:
    async def answer(self, question: Question) -> AsyncGenerator[Piece, None]:
        """Stream the answer. Raises AnswerFailed."""
        if len(question.lines) >= 0:
            raise AnswerFailed("This kind of assistant cannot answer yet.")
        yield ""
