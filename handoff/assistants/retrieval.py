"""Finding the entry that answers a question: BM25 (bm25s) over words corrected for spelling (rapidfuzz)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import bm25s
from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

FLOOR = 0.5  # share of the question's weight that an entry must hold to count as an answer
LIKENESS = 0.7  # of a misspelt word to a known one
CORRECTED = 20  # unknown words of a question, at most: comparing one with all that are known takes long
TEXT_LENGTH = 8_000  # characters of an entry or a question that are looked at; normalising takes longer than in proportion
LONGEST = 40  # letters of a word that is looked at

# Words of which every question is full; they say nothing about what is asked.
FILLER = """
a an and any are as at be but by can could did do does for from get had has have hello hey hi how i if in is it its me
my of on or our please so some tell than thank thanks that the their them then there these they this to us want was we
were what when where which who will with would you your about know need like
"""

_words = re.compile(r"[^\W_]+")
_filler = frozenset(FILLER.split())


@dataclass(frozen=True)
class Found:
    """An answer, and why: the question it was stored under, and the share of the asked words' weight that it holds (0 to 1)."""

    answer: str
    question: str
    score: float


class Knowledge:
    """An index over `(question, answer)` entries. Building it takes milliseconds for hundreds of entries; do it in a thread."""

    def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
        self.entries = entries
        # The question is what people ask in their own words, so it counts twice.
        documents = [words(question) * 2 + words(answer) for question, answer in entries]
        self._vocabulary = sorted({word for document in documents for word in document})
        self._holds = [frozenset(document) for document in documents]
        spread = Counter(word for document in self._holds for word in document)
        self._weight = {word: log(1 + len(documents) / count) for word, count in spread.items()}
        self._unknown = log(1 + len(documents))
        self._index = bm25s.BM25() if self._vocabulary else None
        if self._index is not None:
            self._index.index(documents, show_progress=False)

    def find(self, question: str) -> Found | None:
        """The entry that answers best, or None where none holds enough of what was asked."""
        best = next(iter(self.nearest(question, 1)), None)
        return best if best is not None and best.score >= FLOOR else None

    def nearest(self, question: str, most: int) -> list[Found]:
        """Entries that hold anything of what was asked, the best first."""
        asked = self._spelt_right(words(question)[:100])
        known = [word for word in asked if word in self._weight]
        if self._index is None or not known:
            return []
        scores = self._index.get_scores(known)
        best = [int(entry) for entry in (-scores).argsort(kind="stable")[:most] if scores[entry] > 0]
        return [Found(self.entries[entry][1], self.entries[entry][0], self._share(asked, entry)) for entry in best]

    def _spelt_right(self, asked: list[str]) -> list[str]:
        unknown = list(dict.fromkeys(word for word in asked if word not in self._weight))[:CORRECTED]
        meant = {word: self._meant(word) for word in unknown}
        return [meant.get(word) or word for word in asked]

    def _meant(self, word: str) -> str | None:
        """The word of our vocabulary that was meant; only words of five letters and more are corrected, as "talk" is not "tall"."""
        if len(word) < 5:
            return None
        match = process.extractOne(word, self._vocabulary, scorer=DamerauLevenshtein.normalized_similarity, score_cutoff=LIKENESS)
        return match[0] if match else None

    def _share(self, asked: list[str], entry: int) -> float:
        total = sum(self._weight.get(word, self._unknown) for word in asked)
        return sum(self._weight[word] for word in asked if word in self._holds[entry]) / total


def words(text: str) -> list[str]:
    """Lower-case words without accents and without the words that every question holds; plural s is cut."""
    plain = unicodedata.normalize("NFKD", text[:TEXT_LENGTH].casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return [_stem(word[:LONGEST]) for word in _words.findall(plain) if word not in _filler]


def _stem(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
