"""The settings pages as people use them without JavaScript, and as htmx asks for their parts."""

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from handoff import identity, seats
from handoff.clock import new_id
from handoff.models import Assistant, Entry, Member, Plan, Seat
from tests.cast import Agent, Stage, found_team

HTMX = {"HX-Request": "true"}
# What is decided before the database is asked is asked of one.
ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@dataclass
class Seen:
    """A response, read."""

    status: int
    text: str
    headers: Any

    @property
    def words(self) -> str:
        """The page as a reader meets it: no tags, single spaces."""
        return " ".join(re.sub(r"<[^>]+>", " ", self.text).split())

    def says(self, words: str) -> bool:
        return words in self.words

    def has(self, mark: str) -> bool:
        return mark in self.text


class Browser:
    """A person's browser without JavaScript: it holds a cookie and follows no redirect by itself."""

    def __init__(self, http: aiohttp.ClientSession, stage: Stage, cookie: str | None) -> None:
        self.http, self.stage = http, stage
        self.headers = {"Cookie": f"{identity.COOKIE}={cookie}"} if cookie else {}

    async def look(self, path: str = "", **options: Any) -> Seen:
        return await self._ask("GET", path, **options)

    async def send(self, path: str, fields: dict[str, str] | None = None, **options: Any) -> Seen:
        return await self._ask("POST", path, data=fields or {}, **options)

    async def _ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Seen:
        url = self.stage.url + (path if path.startswith("/") else f"/teams/{self.stage.team_id}/{path}")
        headers = {**self.headers, **(headers or {})}
        async with self.http.request(method, url, headers=headers, allow_redirects=False, **options) as response:
            return Seen(response.status, await response.text(), response.headers)


@pytest.fixture
async def browser(stage: Stage) -> AsyncIterator[Callable[[Agent | None], Browser]]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield lambda person: Browser(http, stage, person and person.cookie)


@pytest.fixture
async def ada(stage: Stage) -> Agent:
    return await stage.member("Ada", role="owner")


@pytest.fixture
async def ben(stage: Stage) -> Agent:
    return await stage.member("Ben", seat=None)


async def limit_seats(stage: Stage, most: int) -> None:
    await stage.make(lambda: Plan.update(human_agents=most).where(Plan.id == "tests").execute())


async def seats_held(stage: Stage) -> int:
    return await stage.look(lambda: seats.used(stage.team_id))


async def entries(stage: Stage) -> list[Entry]:
    return await stage.look(lambda: list(Entry.select().where(Entry.assistant == stage.assistant_id).order_by(Entry.id)))


async def assistant(stage: Stage) -> Assistant:
    return await stage.look(lambda: Assistant.get_by_id(stage.assistant_id))


def settings_of(**changes: str) -> dict[str, str]:
    fields = {
        "name": "Tilly",
        "color": "#3257d6",
        "handoff": "silent",
        "handoff_text": "",
        "assistant_minutes": "30",
        "human_minutes": "45",
        "waiting_seconds": "60",
        "fallback_text": "Sorry.",
        "version": "0",
    }
    return {**fields, **changes}


# --- who may look ---------------------------------------------------------------------------------


@ON_ONE
async def test_nobody_is_sent_to_sign_in_and_back(stage, browser):
    seen = await browser(None).look()
    assert seen.status == 302
    assert seen.headers["Location"] == f"/sign-in?next=/teams/{stage.team_id}/"


@ON_ONE
async def test_nobody_is_sent_away_by_htmx_instead_of_getting_a_sign_in_page_into_the_partial(stage, browser):
    seen = await browser(None).look(headers=HTMX)
    assert (seen.status, seen.text) == (401, "")
    assert seen.headers["HX-Redirect"] == f"/sign-in?next=/teams/{stage.team_id}/"


async def test_another_teams_pages_and_pages_that_are_not_there_are_the_same_page(stage, browser, ada):
    other_team, other_assistant, _ = await found_team(stage, "Harbour")
    other_entry = (await stage.look(lambda: Entry.get(Entry.assistant == other_assistant))).id
    here = f"/teams/{stage.team_id}/assistants"
    paths = [
        (f"/teams/{other_team}/", f"/teams/{new_id()}/"),
        (f"/teams/{other_team}/", "/teams/%00/"),
        (f"/teams/{other_team}/", "/teams/..%2F../"),
        (f"/teams/{other_team}/assistants/", f"/teams/{new_id()}/assistants/"),
        (f"/teams/{other_team}/assistants/{other_assistant}/", f"/teams/{other_team}/assistants/{new_id()}/"),
        (f"{here}/{other_assistant}/", f"{here}/{new_id()}/"),
        (f"{here}/{other_assistant}/try?question=x", f"{here}/{new_id()}/try?question=x"),
        (f"{here}/{other_assistant}/entries/{other_entry}/edit", f"{here}/{new_id()}/entries/{other_entry}/edit"),
        (f"{here}/{stage.assistant_id}/entries/{other_entry}/edit", f"{here}/{stage.assistant_id}/entries/{new_id()}/edit"),
    ]
    for foreign, absent in paths:
        one, other = await browser(ada).look(foreign), await browser(ada).look(absent)
        assert one.status == other.status == 404, foreign
        assert one.text == other.text, foreign


async def test_another_teams_things_cannot_be_changed(stage, browser, ada):
    other_team, other_assistant, _ = await found_team(stage, "Harbour")
    carla = await stage.member("Carla", team=other_team, seat=None)
    other_entry = await stage.look(lambda: Entry.get(Entry.assistant == other_assistant))
    text = {"question": "Q", "answer": "A"}
    for base in (f"/teams/{other_team}", f"/teams/{stage.team_id}"):
        tries = [
            (f"{base}/seats/{carla.member_id}/assign", {}),
            (f"{base}/assistants/{other_assistant}/", settings_of(name="Mine")),
            (f"{base}/assistants/{other_assistant}/entries/", text),
            (f"{base}/assistants/{other_assistant}/entries/{other_entry.id}/", text),
            (f"{base}/assistants/{other_assistant}/entries/{other_entry.id}/delete", {}),
        ]
        for path, fields in tries:
            assert (await browser(ada).send(path, fields)).status == 404, path
    mine = f"assistants/{stage.assistant_id}/entries/{other_entry.id}"
    assert (await browser(ada).send(f"{mine}/", text)).status == 409
    await browser(ada).send(f"{mine}/delete")
    kept = await stage.look(lambda: Entry.get_by_id(other_entry.id))
    assert (kept.question, kept.answer) == (other_entry.question, other_entry.answer)
    assert not await stage.look(lambda: Seat.select().where(Seat.member == carla.member_id).exists())


@ON_ONE
async def test_a_post_from_another_site_is_refused(stage, browser, ada, ben):
    seen = await browser(ada).send(f"seats/{ben.member_id}/assign", headers={"Sec-Fetch-Site": "cross-site"})
    assert seen.status == 403
    assert await seats_held(stage) == 1


@ON_ONE
async def test_a_member_reads_the_pages_without_buttons_and_learns_whom_to_ask(stage, browser, ada, ben):
    for path in ("", f"assistants/{stage.assistant_id}/", f"assistants/{stage.assistant_id}/entries/new"):
        seen = await browser(ben).look(path)
        assert seen.status == 200
        assert seen.says("ask Ada.")
        assert not re.search(r'<form[^>]*method="post"(?![^>]*sign-out)', seen.text)
    assert (await browser(ben).look(f"assistants/{stage.assistant_id}/")).has("data-widget=")


async def test_a_member_changes_nothing(stage, browser, ada, ben):
    entry = (await entries(stage))[0]
    base = f"assistants/{stage.assistant_id}/"
    text = {"question": "Q", "answer": "A"}
    tries = [
        (f"seats/{ben.member_id}/assign", {}),
        (f"seats/{ada.member_id}/release", {}),
        (base, settings_of(name="Ben's")),
        (f"{base}entries/", text),
        (f"{base}entries/{entry.id}/", text),
        (f"{base}entries/{entry.id}/delete", {}),
    ]
    for path, fields in tries:
        assert (await browser(ben).send(path, fields)).status == 403, path
    assert await seats_held(stage) == 1
    assert (await assistant(stage)).name == "Tilly"
    assert [(kept.question, kept.answer) for kept in await entries(stage)] == [(entry.question, entry.answer)]


# --- seats ----------------------------------------------------------------------------------------


async def test_an_admin_assigns_and_releases_a_seat_with_plain_forms(stage, browser, ada, ben):
    await limit_seats(stage, 3)
    seen = await browser(ada).send(f"seats/{ben.member_id}/assign")
    assert (seen.status, seen.headers["Location"]) == (303, f"/teams/{stage.team_id}/")
    assert (await browser(ada).look()).says("2 of 3 used")
    await browser(ada).send(f"seats/{ben.member_id}/release")
    assert (await browser(ada).look()).says("1 of 3 used")


async def test_assigning_or_releasing_twice_does_one_thing(stage, browser, ada, ben):
    for _ in range(2):
        await browser(ada).send(f"seats/{ben.member_id}/assign")
    assert await seats_held(stage) == 2
    for _ in range(2):
        assert (await browser(ada).send(f"seats/{ben.member_id}/release")).status == 303
    assert await seats_held(stage) == 1


@ON_ONE
async def test_htmx_gets_the_seats_and_the_words_alone(stage, browser, ada, ben):
    seen = await browser(ada).send(f"seats/{ben.member_id}/assign", headers=HTMX)
    assert seen.status == 200
    assert not seen.has("<html")
    assert seen.has('id="seats"')
    assert seen.says("Ben has a seat now.")


async def test_without_a_free_seat_the_refusal_stands_beside_the_member(stage, browser, ada, ben):
    await limit_seats(stage, 1)
    for headers in ({}, HTMX):
        seen = await browser(ada).send(f"seats/{ben.member_id}/assign", headers=headers)
        assert seen.status == 409
        row = seen.text[seen.text.index(f'id="member-{ben.member_id}"') :]
        assert "Every seat of your plan is in use" in row
        assert seen.says("1 of 1 used")
    assert await seats_held(stage) == 1


async def test_the_page_tells_how_many_active_conversations_each_holds(stage, browser, ada):
    customer = await stage.customer()
    await customer.write("Hello?")
    agent = await stage.watcher("Cleo")
    await agent.take_over(customer.conversation_id)
    seen = await browser(ada).look()
    row = seen.text[seen.text.index(f'id="member-{agent.member_id}"') :]
    assert "1 active conversation<" in row
    await browser(ada).send(f"seats/{agent.member_id}/release")
    assert (await browser(ada).look()).says("1 active conversation, free for another agent")


@ON_ONE
async def test_whoever_has_the_page_open_is_told_that_seats_changed(stage, browser, ada, ben):
    watching = await stage.second_socket(ben)
    await browser(ada).send(f"seats/{ada.member_id}/release")
    await watching.heard.wait_for("seats_changed")


@ON_ONE
async def test_another_team_is_not_told(stage, browser, ada, ben):
    other_team, _, _ = await found_team(stage, "Harbour")
    stranger, own = await stage.agent("Carla", team=other_team), await stage.second_socket(ada)
    await browser(ada).send(f"seats/{ben.member_id}/assign")
    await own.heard.wait_for("seats_changed")
    assert stranger.heard.named("seats_changed") == []


@ON_ONE
async def test_whoever_has_left_the_team_is_not_told(stage, browser, ada, ben):
    await stage.make(lambda: Member.update(ended_at=1).where(Member.id == ben.member_id).execute())
    gone, own, cleo = await stage.second_socket(ben), await stage.second_socket(ada), await stage.member("Cleo")
    await browser(ada).send(f"seats/{cleo.member_id}/release")
    await own.heard.wait_for("seats_changed")
    assert gone.heard.facts == []
    assert (await browser(ben).look()).status == 404


@ON_ONE
async def test_a_refusal_by_htmx_goes_to_the_problem_region_and_leaves_the_page_alone(stage, browser, ada):
    seen = await browser(ada).send(f"seats/{new_id()}/assign", headers=HTMX)
    assert seen.status == 404
    assert seen.headers["HX-Retarget"] == "#problem"
    assert not seen.has("<html")


# --- an assistant's settings ----------------------------------------------------------------------


async def test_the_list_shows_the_teams_assistants_alone(stage, browser, ada):
    await stage.make(lambda: Assistant.create(team=stage.team_id, name="<b>Bold</b>", color="#ffffff"))
    _, foreign, _ = await found_team(stage, "Harbour")
    seen = await browser(ada).look("assistants/")
    assert seen.says("Tilly") and seen.has("&lt;b&gt;Bold")
    assert not seen.has(foreign)


async def test_settings_are_saved_and_shown_again(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    sent = settings_of(name="  Tilda ", handoff="scripted", handoff_text="Anna here.\r\nHow can I help?", human_minutes="10080")
    assert (await browser(ada).send(base, sent)).status == 303
    saved = await assistant(stage)
    assert (saved.name, saved.handoff, saved.human_minutes) == ("Tilda", "scripted", 10080)
    assert saved.handoff_text == "Anna here.\nHow can I help?"
    seen = await browser(ada).look(base)
    assert seen.has('value="Tilda"') and seen.has("Anna here.")


async def test_scripted_without_its_text_is_refused_beside_the_field(stage, browser, ada):
    seen = await browser(ada).send(f"assistants/{stage.assistant_id}/", settings_of(name="Typed", handoff="scripted"))
    assert seen.status == 422
    assert seen.has('id="handoff_text-error"') and seen.has('value="Typed"')
    assert (await assistant(stage)).handoff == "silent"


WRONG = [
    ("name", " ", "Please fill this in."),
    ("name", "x" * 81, "At most 80 characters, please; this has 81."),
    ("name", "one\ntwo", "one line"),
    ("color", "red", "Choose a colour."),
    ("handoff", "loud", "Choose one of these."),
    ("assistant_minutes", "0", "Enter 1 or more."),
    ("assistant_minutes", "10081", "Enter 10,080 or less."),
    ("human_minutes", "soon", "Enter a whole number."),
    ("waiting_seconds", "4", "Enter 5 or more."),
    ("phrases", "a*b*c*d*e*f", "Line 1: at most 4 of *, please."),
    ("human_minutes", "", "Enter a whole number."),
    ("human_minutes", "9" * 5000, "Enter a whole number."),
    ("fallback_text", "", "Please fill this in."),
    ("fallback_text", "x" * 4001, "At most 4,000 characters, please"),
    ("fallback_text", "NUL \x00", "NUL"),
]


@ON_ONE
async def test_a_wrong_field_is_told_beside_it_and_nothing_typed_is_lost(stage, browser, ada):
    for field, value, words in WRONG:
        sent = settings_of(**{"name": "Typed", field: value})
        for headers in ({}, HTMX):
            seen = await browser(ada).send(f"assistants/{stage.assistant_id}/", sent, headers=headers)
            assert seen.status == 422, field
            error = seen.text[seen.text.index(f'id="{field}-error"') :].split("</p>")[0]
            assert words in error
            assert field == "name" or seen.has('value="Typed"')
    assert (await assistant(stage)).name == "Tilly"


@ON_ONE
async def test_the_embed_code_is_there_to_copy(stage, browser, ada):
    seen = await browser(ada).look(f"assistants/{stage.assistant_id}/")
    code = f'<script src="{stage.url}/widget.js" data-widget="{stage.widget_key}" async></script>'
    assert code.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in seen.text


# --- knowledge ------------------------------------------------------------------------------------


async def test_an_edited_entry_changes_the_next_answer(stage, browser, ada):
    customer, entry = await stage.customer(), (await entries(stage))[0]
    await customer.write("How long does delivery take?")
    await customer.heard.wait_for("message_posted", lambda fact: "five working days" in fact["message"]["text"])
    edited = {"question": entry.question, "answer": "Delivery takes one hour.", "changed_at": str(entry.changed_at)}
    path = f"assistants/{stage.assistant_id}/entries/{entry.id}/"
    assert (await browser(ada).send(path, edited)).status == 303
    await customer.write("How long does delivery take?")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Delivery takes one hour.")


async def test_adding_and_deleting_an_entry_count_the_knowledge_version(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/entries/"
    before = (await assistant(stage)).knowledge_version
    seen = await browser(ada).send(base, {"question": "Do you sell bells?", "answer": "Yes, brass ones."})
    added = seen.headers["Location"].split("#entry-")[1]
    assert (await assistant(stage)).knowledge_version == before + 1
    await browser(ada).send(f"{base}{added}/delete")
    await browser(ada).send(f"{base}{added}/delete")
    assert (await assistant(stage)).knowledge_version == before + 2
    assert added not in [entry.id for entry in await entries(stage)]


async def test_a_form_sent_twice_adds_one_entry(stage, browser, ada):
    form = await browser(ada).look(f"assistants/{stage.assistant_id}/entries/new")
    sent = {"question": "Bells?", "answer": "Yes.", "entry_id": re.search(r'name="entry_id" value="(\w+)"', form.text)[1]}
    for _ in range(2):
        await browser(ada).send(f"assistants/{stage.assistant_id}/entries/", sent)
    assert len(await entries(stage)) == 2
    # Somebody went back and wrote another one: that is no repetition.
    await browser(ada).send(f"assistants/{stage.assistant_id}/entries/", {**sent, "answer": "Brass ones."})
    assert len(await entries(stage)) == 3


@ON_ONE
@pytest.mark.parametrize(("field", "most"), [("question", 500), ("answer", 8000)])
async def test_an_entry_that_is_empty_or_too_long_is_told_beside_its_field(stage, browser, ada, field, most):
    base = f"assistants/{stage.assistant_id}/entries/"
    entry = (await entries(stage))[0]
    whole = {"question": "Typed question", "answer": "Typed answer"}
    for path in (base, f"{base}{entry.id}/"):
        for wrong, words in (("", "Please fill this in."), ("x" * (most + 1), f"At most {most:,} characters")):
            for headers in ({}, HTMX):
                seen = await browser(ada).send(path, {**whole, field: wrong}, headers=headers)
                assert seen.status == 422
                assert seen.has(f'id="{field}-error-') and seen.says(words)
                assert seen.says(whole["answer" if field == "question" else "question"])
    assert [kept.question for kept in await entries(stage)] == [entry.question]
    assert (await browser(ada).send(base, {**whole, field: "x" * most})).status == 303


async def test_an_entry_that_was_deleted_while_it_was_edited_is_kept_as_a_new_one(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/entries/"
    entry = (await entries(stage))[0]
    await browser(ada).send(f"{base}{entry.id}/delete")
    for headers in ({}, HTMX):
        seen = await browser(ada).send(f"{base}{entry.id}/", {"question": "Mine", "answer": "Kept words"}, headers=headers)
        assert seen.status == 409
        assert seen.says("Somebody deleted this entry meanwhile.") and seen.says("Kept words")
    assert await entries(stage) == []


@ON_ONE
async def test_trying_a_question_shows_the_answer_and_its_entry(stage, browser, ada, ben):
    for person in (ada, ben):
        seen = await browser(person).look(f"assistants/{stage.assistant_id}/try", params={"question": "how long is delivry"})
        assert seen.says("Delivery takes five working days.")
        assert seen.says("this entry holds 100 % of what was asked")
    assert (await stage.look(lambda: Entry.select().count())) == 1


@ON_ONE
async def test_trying_a_question_tells_what_came_next(stage, browser, ada):
    base = f"assistants/{stage.assistant_id}/"
    await browser(ada).send(f"{base}entries/", {"question": "What does delivery cost?", "answer": "Nothing."})
    seen = await browser(ada).look(f"{base}try", params={"question": "How long does delivery take?"})
    assert seen.says("Delivery takes five working days.")
    assert seen.says("Next came: What does delivery cost? , which holds")
    near = await browser(ada).look(f"{base}try", params={"question": "delivery purple elephants submarine"})
    assert near.says("marked for a person") and near.says("Nearest came:") and near.says("too little")


@ON_ONE
async def test_trying_what_nobody_taught_says_so(stage, browser, ada):
    path = f"assistants/{stage.assistant_id}/try"
    assert (await browser(ada).look(path, params={"question": "Purple elephants?"})).says("marked for a person")
    assert (await browser(ada).look(path, params={"question": "Hello there"})).says("A greeting")
    refused = await browser(ada).look(path, params={"question": " "})
    assert refused.status == 422 and refused.says("Please fill this in.")


@ON_ONE
async def test_what_admins_write_is_inert(stage, browser, ada):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) </textarea>"
    base = f"assistants/{stage.assistant_id}/"
    await browser(ada).send(base, settings_of(name=evil[:80], handoff="scripted", handoff_text=evil, fallback_text=evil))
    await browser(ada).send(f"{base}entries/", {"question": f"elephants {evil}", "answer": evil})
    for path in (base, "assistants/", f"{base}try?question=elephants", f"{base}entries/new"):
        seen = await browser(ada).look(path)
        assert seen.status == 200
        assert not seen.has("<script>alert") and not seen.has("<img") and not seen.has('href="javascript')


@ON_ONE
async def test_every_page_forbids_inline_script_and_frames(stage, browser, ada):
    for path in ("", "assistants/", f"assistants/{stage.assistant_id}/", "nowhere"):
        seen = await browser(ada).look(path)
        policy = seen.headers["Content-Security-Policy"]
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert not re.search(r'\sstyle="|\son\w+="|hx-on', seen.text)


@ON_ONE
async def test_a_sign_out_elsewhere_ends_the_pages_at_once(stage, browser, ada):
    await browser(ada).send("/sign-out")
    assert (await browser(ada).look()).status == 302
