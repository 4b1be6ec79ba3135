"""Phrases that a team wants to hear of, found in a customer's line: whole words, whatever their case and accents.

A phrase is words, in which `*` stands for any letters of a word ("cancel*" finds "cancelling"). Where a script puts no spaces
between words (Japanese, Chinese, Thai), or hangs its endings on them (Korean), a phrase is found anywhere.

This is done while a line is stored, so it must not take long, whatever the list and the line: a phrase is looked at only where
its longest piece stands in the text; its expression, made once, never tries a wildcard twice over. A usual line takes about
20 us against 200 phrases, the worst that 4,000 characters allow is in tests/test_phrases.py.
"""

import json
import re
import unicodedata
from functools import cached_property, lru_cache

LOOKED_AT = 4_000  # characters of a line
MOST = 200  # phrases of an assistant
KEPT = 200  # compiled lists, by their text: assistants with the same list share one
STRETCH = 30  # letters that a wildcard stands for at most
WILDCARDS = 4  # of a phrase; one with more finds nothing

# Thai, Lao, Myanmar, Khmer, kana, ideographs, Hangul.
_TOGETHER = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_SIGNS = "\u0900-\u0963\u0966-\u0dff"  # the scripts of India: vowel signs are no \w, and yet within a word
_together = re.compile(f"[{_TOGETHER}\U00020000-\U0003ffff]+")
_LETTER = rf"[\w{_SIGNS}]"
# Apostrophes of all kinds are one; what has no width is nothing.
_SAME = {0x2019: "'", 0x2018: "'", 0x02BC: "'", 0x00AD: None, 0x200B: None, 0x200C: None, 0x200D: None, 0xFEFF: None}


def plain(text: str) -> str:
    """The text without case, accents and repeated spaces, as phrases and questions are compared; scripts stand apart."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text[:LOOKED_AT].translate(_SAME)).casefold())
    if not folded.isascii():
        folded = unicodedata.normalize("NFC", "".join(letter for letter in folded if not _is_accent(letter)))
        folded = _together.sub(r" \g<0> ", folded)
    return " ".join(folded[:LOOKED_AT].split())


def has_no_spaces(letter: str) -> bool:
    """Whether a letter is of a script whose words stand together."""
    return _together.match(letter) is not None


def _is_accent(letter: str) -> bool:
    """Accents and optional vowel points; not the marks that make another letter in Japanese, Thai or Hindi."""
    return 200 <= unicodedata.combining(letter) <= 240 or 10 <= unicodedata.combining(letter) <= 36


class Phrases:
    """A list, ready to be looked for."""

    def __init__(self, phrases: list[str]) -> None:
        self._phrases = [Phrase(written, plain(written)) for written in phrases]
        self._phrases = [phrase for phrase in self._phrases if phrase.piece and phrase.text.count("*") <= WILDCARDS]

    def find(self, text: str) -> str | None:
        """The first of the phrases that a plain text holds: as the team wrote it, or the words that its wildcards found."""
        for phrase in self._phrases:
            found = phrase.find(text) if phrase.piece in text else None
            if found is not None:
                return found
        return None


class Phrase:
    def __init__(self, written: str, text: str) -> None:
        self.written = written
        self.text = re.sub(r"\*+", "*", text)
        self.piece = max(re.split(r"[*\s]+", self.text), key=len)

    def find(self, text: str) -> str | None:
        found = self._expression.search(text)
        return found and (found.group() if "*" in self.text else self.written)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(_pattern(self.text))


@lru_cache(KEPT)
def listed(stored: str) -> tuple[Phrases, Phrases]:
    """An assistant's own list as it is stored: the phrases that ask for a human, and the others."""
    phrases = [phrase for phrase in json.loads(stored) if isinstance(phrase, str)][:MOST]
    asking = [phrase for phrase in phrases if asks_for_human(plain(phrase))]
    return Phrases(asking), Phrases([phrase for phrase in phrases if phrase not in asking])


def asks_for_human(text: str) -> bool:
    """Whether a plain text asks for a human in one of the ways that everybody uses."""
    return _asking().find(text) is not None


def _pattern(phrase: str) -> str:
    words = " ".join(_word(word) for word in phrase.split())
    edges = phrase.strip("* ")
    # A wildcard at an edge ends with the word by itself; a script without spaces has no edge to look for.
    begins = "" if has_no_spaces(edges[0]) or not _is_letter(phrase[0]) else f"(?<!{_LETTER})"
    ends = "" if has_no_spaces(edges[-1]) or not _is_letter(phrase[-1]) else f"(?!{_LETTER})"
    return begins + words + ends


def _is_letter(letter: str) -> bool:
    return letter == "*" or re.match(_LETTER, letter) is not None


def _word(word: str) -> str:
    """A word with wildcards. Each takes the nearest place where the next piece stands, for good; only the last looks further."""
    first, *others = word.split("*")
    if not others:
        return re.escape(first)
    middle = "".join(rf"(?>{_LETTER}{{0,{STRETCH}}}?{re.escape(piece)})" for piece in others[:-1])
    return re.escape(first) + middle + rf"{_LETTER}{{0,{STRETCH}}}" + re.escape(others[-1])


@lru_cache(1)
def _asking() -> Phrases:
    who = ("human", "person", "someone", "somebody", "agent", "representative", "operator")
    whom = [*who, *(f"a {one}" for one in who), "an agent", "an operator", "a real person", "a live agent", "a human being"]
    verbs = ("talk to", "speak to", "speak with", "talk with", "chat with", "connect me to", "transfer me to")
    english = [f"{verb} {one}" for verb in verbs for one in whom]
    return Phrases([*english, *_OTHERS])


_OTHERS = (
    "real human",
    "real person",
    "live agent",
    "human agent",
    "human please",
    "need a human",
    "want a human",
    "mit einem menschen",
    "mit einem mitarbeiter",
    "mit einer person",
    "echten menschen",
    "hablar con una persona",
    "hablar con un humano",
    "hablar con un agente",
    "hablar con alguien",
    "parler a un humain",
    "parler a une personne",
    "parler a quelqu'un",
    "parler a un conseiller",
    "parlare con una persona",
    "parlare con un operatore",
    "falar com uma pessoa",
    "falar com um atendente",
    "met een mens",
    "met een medewerker",
    "担当者と話",
    "人と話したい",
    "转人工",
    "人工客服",
    "상담원",
)
