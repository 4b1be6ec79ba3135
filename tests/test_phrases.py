"""Phrases in a customer's line: whole words, whatever case and accents; and never slow."""

import json
import time

import pytest

from handoff import phrases
from handoff.phrases import Phrases, plain


def found(phrase: str, text: str) -> str | None:
    return Phrases([phrase]).find(plain(text))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("cancel", "CANCEL!"),
        ("I'm leaving", "so I\u2019m   leaving\nnow"),
        ("café", "zum Cafe?"),
        ("résumé", "my resume\u0301"),
        ("straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("c++", "I write C++ only"),
        ("50%", "it was 50% off"),
        ("キャンセル", "注文をキャンセルしたい"),
        ("refund", "返金refundしたい"),
        ("환불", "환불을 원해요"),
        ("शिकायत", "मेरी शिकायत है"),
        ("שלום", "שָׁלוֹם"),
        ("a*b*c", "well, aXbYc"),
        ("*token", "the mytoken"),
        ("un*able", "unreliable"),
        ("cancel* my order", "cancelled my order"),
        ("(really)", "what (really)?"),
        ("a.b", "it says a.b here"),
        ("[why", "so [why not"),
        ("wh[*", "so wh[at"),
    ],
)
def test_a_phrase_is_found(phrase: str, text: str) -> None:
    assert found(phrase, text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("cancel", "cancelling"),
        ("cel", "parcel"),
        ("cancel my order", "cancel this order"),
        ("cancel* order", "cancel my order"),
        ("un*able", "unreliably"),
        ("か", "が"),
        ("क", "कि"),
        ("a.b", "axb"),
        ("(a|b)+", "abab"),
        ("a.b", "a.bx axb"),
        ("c*a.b", "cxa.bx cxaxb"),
        ("a*b*c*d*e*f", "abcdef"),
        ("c+", "cc"),
        ("*", "anything"),
        (" * ", "anything"),
        ("", "anything"),
    ],
)
def test_a_phrase_is_not_found(phrase: str, text: str) -> None:
    assert found(phrase, text) is None


def test_what_a_wildcard_stood_for_is_told_and_a_phrase_as_it_was_written() -> None:
    assert found("cancel*", "I'm CANCELLING") == "cancelling"
    assert found("Refund", "a REFUND now") == "Refund"


def test_a_list_is_compiled_once_whoever_has_it_and_few_are_kept() -> None:
    stored = json.dumps(["cancel*", "demo"])
    assert phrases.listed(stored) is phrases.listed(str(bytes(stored, "ascii"), "ascii"))
    for number in range(phrases.KEPT + 10):
        phrases.listed(json.dumps([f"phrase {number}"]))
    assert phrases.listed.cache_info().currsize == phrases.KEPT


def test_what_is_no_list_of_phrases_finds_nothing() -> None:
    asking, listed = phrases.listed('[1, null, "", "demo", ["x"]]')
    assert (asking.find("1 null x"), listed.find("the demo")) == (None, "demo")


def test_a_teams_own_words_for_a_human_ask_for_a_human() -> None:
    asking, listed = phrases.listed(json.dumps(["talk to a human", "refund"]))
    assert (asking.find("talk to a human"), listed.find("talk to a human")) == ("talk to a human", None)
    assert (asking.find("refund"), listed.find("refund")) == (None, "refund")


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("a*a*a*a*b", "a" * 4_000),
        ("*a*a*a*b", "a " * 2_000),
        ("*a*a*a*b", "b" + "a" * 3_999),
        ("あ*あ*あ*あ*い", "あ" * 3_999 + "い"),
        ("*い*い*い*う", ("あ" * 15 + "い") * 249 + "う"),
        ("a*b", "\ufdfa" * 4_000),
        ("x " * 40, "x " * 2_000),
    ],
)
def test_two_hundred_of_the_worst_phrases_take_no_time_on_the_worst_line(phrase: str, text: str) -> None:
    listed = Phrases([phrase.strip()] * 200)
    listed.find(plain(text))  # made now, as in a process that runs
    begun = time.thread_time()
    listed.find(plain(text))
    assert time.thread_time() - begun < 0.5  # measured: 0.1; a wildcard that is tried over and over takes minutes
