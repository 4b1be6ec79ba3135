"""An assistant's beginning and end, as admins ask for them: made with its first widget, archived, brought back."""

import asyncio
import json
import re

from handoff.clock import new_id
from handoff.models import Assistant, Audit, Conversation, Widget
from tests.cast import Stage, found_team
from tests.test_settings_pages import HTMX, ON_ONE, ada, ben, browser

__all__ = ["ada", "ben", "browser"]


async def assistants(stage: Stage) -> list[Assistant]:
    """Those of the team beside Tilly."""
    others = Assistant.select().where(Assistant.team == stage.team_id, Assistant.id != stage.assistant_id)
    return await stage.look(lambda: list(others.order_by(Assistant.id)))


async def noted(stage: Stage) -> list[tuple[str, str]]:
    lines = Audit.select(Audit.kind, Audit.about).where(Audit.team == stage.team_id, Audit.kind.startswith("assistant_"))
    rows = await stage.look(lambda: list(lines.order_by(Audit.id).tuples()))
    return [(kind, json.loads(about)["name"]) for kind, about in rows]


async def test_a_new_assistant_has_its_embed_code_at_once_and_answers_by_it(stage, browser, ada):
    seen = await browser(ada).send("assistants/", {"name": "  Lumen ", "assistant_id": new_id()})
    assert seen.status == 303
    page = await browser(ada).look(seen.headers["Location"])
    assert page.status == 200 and page.says("Lumen")
    key = re.search(r"data-widget=&#34;(\w+)&#34;", page.text)[1]
    customer = await stage.customer(key=key)
    await customer.write("Hello?")
    (made,) = await assistants(stage)
    assert seen.headers["Location"] == f"/teams/{stage.team_id}/assistants/{made.id}/"
    opened = await stage.look(lambda: Conversation.get_by_id(customer.conversation_id))
    assert (opened.assistant_id, opened.team_id) == (made.id, stage.team_id)
    assert await noted(stage) == [("assistant_created", "Lumen")]
    assert (await browser(ada).look("audit/")).says("created the assistant Lumen")


async def test_two_assistants_have_two_keys(stage, browser, ada):
    for name in ("Lumen", "Lumen"):
        await browser(ada).send("assistants/", {"name": name, "assistant_id": new_id()})
    made = await assistants(stage)
    keys = await stage.look(lambda: [Widget.get(Widget.assistant == one.id).key for one in made])
    assert len(set(keys)) == 2 and min(map(len, keys)) >= 20


async def test_a_form_sent_many_times_makes_one_assistant(stage, browser, ada):
    sent = {"name": "Lumen", "assistant_id": new_id()}
    answers = await asyncio.gather(*(browser(ada).send("assistants/", sent) for _ in range(5)))
    (made,) = await assistants(stage)
    assert {(seen.status, seen.headers["Location"]) for seen in answers} == {(303, f"/teams/{stage.team_id}/assistants/{made.id}/")}
    assert await stage.look(lambda: Widget.select().where(Widget.assistant == made.id).count()) == 1
    assert await noted(stage) == [("assistant_created", "Lumen")]


async def test_a_form_sent_again_with_another_name_makes_another(stage, browser, ada):
    sent = {"name": "Lumen", "assistant_id": new_id()}
    for name in ("Lumen", "Lantern"):
        await browser(ada).send("assistants/", {**sent, "name": name})
    assert [made.name for made in await assistants(stage)] == ["Lumen", "Lantern"]


async def test_the_id_of_another_teams_assistant_makes_an_own_one(stage, browser, ada):
    _, foreign, _ = await found_team(stage, "Harbour")
    before = await stage.look(lambda: Assistant.select().where(Assistant.id == foreign).dicts().get())
    seen = await browser(ada).send("assistants/", {"name": before["name"], "assistant_id": foreign})
    (made,) = await assistants(stage)
    assert made.id != foreign and seen.headers["Location"].endswith(f"/{made.id}/")
    assert await stage.look(lambda: Assistant.select().where(Assistant.id == foreign).dicts().get()) == before


@ON_ONE
async def test_a_form_without_a_usable_id_still_makes_an_assistant(stage, browser, ada):
    for wrong in ({}, {"assistant_id": "../x"}, {"assistant_id": "x" * 65}, {"assistant_id": "é"}, {"assistant_id": ""}):
        assert (await browser(ada).send("assistants/", {"name": "Lumen", **wrong})).status == 303
    assert len(await assistants(stage)) == 5


@ON_ONE
async def test_a_wrong_name_is_told_beside_it_and_keeps_what_was_typed_and_the_forms_id(stage, browser, ada):
    for name, words in ((" ", "Please fill this in."), ("x" * 81, "this has 81"), ("one\ntwo", "one line"), ("a\x00b", "NUL")):
        for headers in ({}, HTMX):
            form_id = new_id()
            seen = await browser(ada).send("assistants/", {"name": name, "assistant_id": form_id}, headers=headers)
            assert seen.status == 422
            assert words in seen.text[seen.text.index('id="new-name-error"') :].split("</p>")[0]
            assert seen.has(f'value="{form_id}"')
            assert seen.has("<html") is (not headers)
    seen = await browser(ada).send("assistants/", {"name": f"<b>{'x' * 80}"})
    assert seen.has(f'value="&lt;b&gt;{"x" * 80}"')
    assert await assistants(stage) == [] and await noted(stage) == []


@ON_ONE
async def test_htmx_is_led_to_the_new_assistant(stage, browser, ada):
    seen = await browser(ada).send("assistants/", {"name": "Lumen", "assistant_id": new_id()}, headers=HTMX)
    (made,) = await assistants(stage)
    assert seen.headers["HX-Redirect"] == f"/teams/{stage.team_id}/assistants/{made.id}/"


async def test_an_archived_assistant_takes_no_new_conversation_and_its_active_ones_go_on(stage, browser, ada):
    old, new = await stage.customer(), await stage.customer()
    await old.write("Hello?")
    here = f"assistants/{stage.assistant_id}/"
    seen = await browser(ada).send(f"{here}archive")
    assert (seen.status, seen.headers["Location"]) == (303, f"/teams/{stage.team_id}/{here}")
    await old.write("Are you there?")
    refusal = await new.refused("post_message", client_id="1", text="Hello?")
    assert (refusal["code"], refusal["message"]) == ("forbidden", "This chat takes no new conversations.")
    listed = await browser(ada).look("assistants/")
    assert listed.text.index('id="archived"') < listed.text.index("Tilly")
    assert listed.says("No assistants yet")
    assert (await browser(ada).look(here)).says("Bring back Tilly")

    await browser(ada).send(f"{here}bring-back")
    await new.write("Hello?")
    assert not (await browser(ada).look("assistants/")).has('id="archived"')
    assert await noted(stage) == [("assistant_archived", "Tilly"), ("assistant_brought_back", "Tilly")]


async def test_archiving_or_bringing_back_twice_does_one_thing(stage, browser, ada):
    here = f"assistants/{stage.assistant_id}/"
    await asyncio.gather(*(browser(ada).send(f"{here}archive") for _ in range(3)))
    at = await stage.look(lambda: Assistant.get_by_id(stage.assistant_id).archived_at)
    await browser(ada).send(f"{here}archive")
    assert await stage.look(lambda: Assistant.get_by_id(stage.assistant_id).archived_at) == at
    await asyncio.gather(*(browser(ada).send(f"{here}bring-back") for _ in range(3)))
    assert [kind for kind, _ in await noted(stage)] == ["assistant_archived", "assistant_brought_back"]


@ON_ONE
async def test_htmx_gets_the_part_and_the_head_that_changed(stage, browser, ada):
    for action, words in (("archive", "Bring back Tilly"), ("bring-back", "Archive Tilly")):
        seen = await browser(ada).send(f"assistants/{stage.assistant_id}/{action}", headers=HTMX)
        assert seen.status == 200 and not seen.has("<html")
        assert seen.says(words) and seen.has('id="assistant-head"') and seen.has('hx-target="#said"')


async def test_a_member_makes_archives_and_brings_back_nothing(stage, browser, ada, ben):
    other, foreign, _ = await found_team(stage, "Harbour")
    for action in ("archive", "bring-back"):
        for person, path, status in (
            (ben, f"assistants/{stage.assistant_id}/{action}", 403),
            (ada, f"assistants/{foreign}/{action}", 404),
            (ada, f"/teams/{other}/assistants/{foreign}/{action}", 404),
        ):
            assert (await browser(person).send(path)).status == status
    assert (await browser(ben).send("assistants/", {"name": "Lumen"})).status == 403
    assert await assistants(stage) == []
    assert await stage.look(lambda: Assistant.select().where(Assistant.archived_at.is_null(False)).count()) == 0
    seen = await browser(ben).look("assistants/")
    assert seen.says("ask Ada.") and not seen.has("create-assistant")
