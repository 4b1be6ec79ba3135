"""Two admins at one form: the later save hears what changed meanwhile and by whom, and loses nothing typed."""

import asyncio
import json
import re

import pytest

from handoff import assistant_settings, identity
from handoff.assistant_settings import AssistantSettings
from handoff.meanwhile import Began, ChangedMeanwhile
from handoff.models import Assistant, Audit, Entry
from tests import forms
from tests.cast import Agent, Stage
from tests.forms import beside
from tests.test_settings_pages import HTMX, ON_ONE, Seen, ada, assistant, ben, browser, entries, settings_of

__all__ = ["ada", "ben", "browser"]


@pytest.fixture
async def cleo(stage: Stage) -> Agent:
    return await stage.member("Cleo", role="admin", seat=None)


def form_on(seen: Seen) -> dict[str, str]:
    return forms.form_on(seen, "assistant-form")


async def changes(stage: Stage) -> list[dict]:
    lines = Audit.select(Audit.about).where(Audit.team == stage.team_id, Audit.kind == "assistant_changed").order_by(Audit.id)
    return [json.loads(about) for (about,) in await stage.look(lambda: list(lines.tuples()))]


async def test_the_later_of_two_saves_hears_who_changed_what_and_its_second_save_goes_through(stage, browser, ada, cleo):
    base = f"assistants/{stage.assistant_id}/"
    hers, other = form_on(await browser(ada).look(base)), form_on(await browser(cleo).look(base))
    await browser(cleo).send(base, {**other, "name": "Tilda", "greeting": "Ahoy", "human_minutes": "7"})
    for headers in (HTMX, {}):
        seen = await browser(ada).send(base, {**hers, "name": "Tilly Two", "fallback_text": "My words"}, headers=headers)
        assert seen.status == 409
        assert seen.says("Cleo saved this assistant while you were editing")
        form = form_on(seen)
        assert (form["name"], form["fallback_text"]) == ("Tilly Two", "My words")  # typed: stays
        assert (form["greeting"], form["human_minutes"]) == ("Ahoy", "7")  # not touched: the other's
        assert "Cleo changed this meanwhile, to:" in beside(seen, "name-changed") and "Tilda" in beside(seen, "name-changed")
        assert "it shows what they saved" in beside(seen, "greeting-changed")
        assert 'id="fallback_text-changed"' not in seen.text
    assert (await assistant(stage)).name == "Tilda"
    assert (await browser(ada).send(base, form)).status == 303
    saved = await assistant(stage)
    assert (saved.name, saved.greeting, saved.human_minutes, saved.fallback_text) == ("Tilly Two", "Ahoy", 7, "My words")
    assert [about["fields"] for about in await changes(stage)] == ["name greeting human_minutes", "name fallback_text"]


async def test_of_many_saves_at_once_one_wins_and_every_other_is_told(stage, browser, ada, cleo):
    base = f"assistants/{stage.assistant_id}/"
    form = form_on(await browser(ada).look(base))
    people = (ada, cleo) * 5
    answers = await asyncio.gather(
        *(browser(person).send(base, {**form, "name": f"Name {number}"}) for number, person in enumerate(people))
    )
    assert sorted(seen.status for seen in answers) == [303] + [409] * 9
    assert (await assistant(stage)).version == 1
    assert len(await changes(stage)) == 1


async def test_of_saves_that_meet_in_the_database_itself_one_wins(stage, ada, cleo):
    """Each in a lane of its own, as in processes of their own."""
    kept = await assistant(stage)
    shown = assistant_settings.shown_of(kept)
    began = Began.of(kept.version, shown)
    sessions = [(await stage.look(lambda who=who: identity.session_of(who.cookie))).session_id for who in (ada, cleo)]

    async def save(at: int) -> str:
        settings = AssistantSettings.model_validate({**shown, "name": f"Name {at}"})
        try:
            arguments = (sessions[at % 2], stage.team_id, stage.assistant_id, settings, began)
            await stage.handoff.database.write(str(at), assistant_settings.change, *arguments)
        except ChangedMeanwhile:
            return "told"
        return "saved"

    assert sorted(await asyncio.gather(*(save(at) for at in range(20)))) == ["saved"] + ["told"] * 19
    assert (await assistant(stage)).version == kept.version + 1


async def test_two_who_changed_the_same_to_the_same_are_in_nobodys_way(stage, browser, ada, cleo):
    base = f"assistants/{stage.assistant_id}/"
    hers, other = form_on(await browser(ada).look(base)), form_on(await browser(cleo).look(base))
    await browser(cleo).send(base, {**other, "name": "Tilda"})
    assert (await browser(ada).send(base, {**hers, "name": "Tilda", "greeting": "Ahoy"})).status == 303
    assert [about["fields"] for about in await changes(stage)] == ["name", "greeting"]


async def test_one_form_sent_many_times_is_saved_once(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    form = {**form_on(await browser(ada).look(base)), "name": "Tilda"}
    answers = await asyncio.gather(*(browser(ada).send(base, form) for _ in range(5)))
    assert [seen.status for seen in answers] == [303] * 5
    assert (await assistant(stage)).version == 1
    assert len(await changes(stage)) == 1
    await browser(ada).send(base, form_on(await browser(ada).look(base)))  # nothing changed is nothing done
    assert len(await changes(stage)) == 1


async def test_a_change_of_something_that_the_form_does_not_show_is_in_nobodys_way(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    form = form_on(await browser(ada).look(base))
    await stage.make(lambda: Assistant.update(version=5, model="x").where(Assistant.id == stage.assistant_id).execute())
    assert (await browser(ada).send(base, {**form, "name": "Tilda"})).status == 303
    saved = await assistant(stage)
    assert (saved.name, saved.model, saved.version) == ("Tilda", "x", 6)


@ON_ONE
async def test_a_fault_keeps_the_version_that_the_form_began_with(stage, browser, ada, cleo):
    base = f"assistants/{stage.assistant_id}/"
    hers, other = form_on(await browser(ada).look(base)), form_on(await browser(cleo).look(base))
    await browser(cleo).send(base, {**other, "name": "Tilda"})
    refused = form_on(await browser(ada).send(base, {**hers, "greeting": "Mine", "human_minutes": "soon"}))
    assert (await browser(ada).send(base, {**refused, "human_minutes": "5"})).status == 409
    assert (await assistant(stage)).greeting == ""


@ON_ONE
async def test_a_form_that_does_not_say_what_it_began_with_overwrites_nothing_unseen(stage, browser, ada):
    for odd in ({}, {"version": "x"}, {"version": "9" * 30}, {"version": "-1"}, {"version": "²", "began": "a:b:c d"}):
        form = {name: value for name, value in settings_of(name="Mine").items() if name != "version"} | odd
        seen = await browser(ada).send(f"assistants/{stage.assistant_id}/", form)
        assert seen.status == 409 and form_on(seen)["name"] == "Mine"
    assert (await assistant(stage)).name == "Tilly"


# --- entries --------------------------------------------------------------------------------------


async def edited(stage: Stage, browser, person: Agent, entry: Entry, answer: str, changed_at: int = 0, **options) -> Seen:
    fields = {"question": entry.question, "answer": answer, "changed_at": str(changed_at or entry.changed_at)}
    return await browser(person).send(f"assistants/{stage.assistant_id}/entries/{entry.id}/", fields, **options)


async def test_the_later_save_of_an_entry_hears_what_it_says_now_and_keeps_its_text(stage, browser, ada, cleo):
    (entry,) = await entries(stage)
    await edited(stage, browser, cleo, entry, "Cleo's answer")
    for headers in ({}, HTMX):
        seen = await edited(stage, browser, ada, entry, "Ada's answer", headers=headers)
        assert seen.status == 409
        assert seen.says("Cleo changed this entry while you were editing") and seen.says("Cleo&#39;s answer")
        assert re.search(r"<textarea[^>]*>\nAda&#39;s answer</textarea>", seen.text)
    again = re.search(r'name="changed_at" value="(\d+)"', seen.text)[1]
    assert (await edited(stage, browser, ada, entry, "Ada's answer", int(again))).status == 303
    assert [kept.answer for kept in await entries(stage)] == ["Ada's answer"]


async def test_of_many_saves_of_an_entry_at_once_one_wins(stage, browser, ada, cleo):
    (entry,) = await entries(stage)
    before = (await assistant(stage)).knowledge_version
    answers = await asyncio.gather(*(edited(stage, browser, (ada, cleo)[n % 2], entry, f"Answer {n}") for n in range(8)))
    assert sorted(seen.status for seen in answers) == [303] + [409] * 7
    assert (await assistant(stage)).knowledge_version == before + 1


async def test_an_entrys_form_sent_twice_is_saved_once(stage, browser, ada):
    (entry,) = await entries(stage)
    answers = await asyncio.gather(*(edited(stage, browser, ada, entry, "Same") for _ in range(4)))
    assert [seen.status for seen in answers] == [303] * 4
    assert await stage.look(lambda: Audit.select().where(Audit.kind == "entry_edited").count()) == 1


# --- greeting and phrases -------------------------------------------------------------------------


async def test_a_widget_without_a_greeting_shows_the_assistants(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    await browser(ada).send(base, {**form_on(await browser(ada).look(base)), "greeting": "Ahoy there"})
    customer = await stage.customer()
    opened = await customer.heard.wait_for("conversation_opened")
    assert opened["widget"]["greeting"] == "Ahoy there"


async def test_phrases_are_kept_in_small_letters_once_each(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    typed = "  Cancel*  \r\n\r\nSpeak   to a LAWYER\r\ncancel*\r\nÜber*teuer\r\n"
    await browser(ada).send(base, {**form_on(await browser(ada).look(base)), "phrases": typed})
    assert json.loads((await assistant(stage)).phrases) == ["cancel*", "speak to a lawyer", "über*teuer"]
    assert form_on(await browser(ada).look(base))["phrases"] == "cancel*\nspeak to a lawyer\nüber*teuer"


@ON_ONE
async def test_wrong_phrases_are_told_by_their_line_and_kept(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    form = form_on(await browser(ada).look(base))
    many = "\n".join(f"phrase {number}" for number in range(201))
    for typed, words in (
        ("good\n" + "x" * 81 + "\n***", "Line 2: at most 80 characters, please; this has 81. Line 3: write a word"),
        ("a\x00b", "Line 1: remove the characters that cannot be seen."),
        (many, "At most 200 phrases, please; these are 201."),
        ("*\n" * 9, "And 4 lines more."),
    ):
        seen = await browser(ada).send(base, {**form, "phrases": typed})
        assert seen.status == 422
        assert words in seen.text[seen.text.index('id="phrases-error"') :].split("</p>")[0]
        assert form_on(seen)["phrases"] == typed
    assert (await browser(ada).send(base, {**form, "phrases": many[: many.rindex("\n")]})).status == 303
    assert len(json.loads((await assistant(stage)).phrases)) == 200


@ON_ONE
async def test_the_longest_form_there_is_can_be_saved(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    long = {"greeting": "😀" * 1000, "handoff_text": "😀" * 4000, "fallback_text": "😀" * 4000}
    phrases = "\n".join(f"{number:03}" + "😀" * 77 for number in range(200))
    form = form_on(await browser(ada).look(base)) | long | {"phrases": phrases, "name": "😀" * 80}
    assert (await browser(ada).send(base, form)).status == 303
