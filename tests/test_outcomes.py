"""The list of outcomes as admins edit it, and as the console offers it."""

import asyncio

from handoff.clock import new_id
from handoff.models import Audit, Conversation, Outcome
from handoff.pages.console import _outcomes as offered_in_the_console
from tests.cast import Stage, found_team
from tests.test_settings_pages import HTMX, ON_ONE, ada, ben, browser

__all__ = ["ada", "ben", "browser"]


async def names(stage: Stage) -> list[str]:
    """As the dialog that closes a conversation offers them."""
    return [outcome["name"] for outcome in await stage.look(lambda: offered_in_the_console(stage.team_id))]


async def put(stage: Stage, *wanted: str) -> list[str]:
    """Begin with these outcomes; gives their ids."""

    def make() -> list[str]:
        Outcome.delete().where(Outcome.team == stage.team_id).execute()
        return [Outcome.create(team=stage.team_id, name=name, position=at).id for at, name in enumerate(wanted)]

    return await stage.make(make)


async def kinds(stage: Stage) -> list[str]:
    lines = Audit.select(Audit.kind).where(Audit.team == stage.team_id, Audit.kind.startswith("outcome_"))
    return [kind for (kind,) in await stage.look(lambda: list(lines.order_by(Audit.id).tuples()))]


async def test_outcomes_are_added_renamed_archived_and_brought_back(stage, browser, ada):
    solved, _ = await put(stage, "Solved", "Spam")
    page = browser(ada)
    seen = await page.send("outcomes/", {"name": " Sold ", "outcome_id": new_id()})
    assert (seen.status, seen.headers["Location"]) == (303, f"/teams/{stage.team_id}/outcomes/")
    assert await names(stage) == ["Solved", "Spam", "Sold"]
    await page.send(f"outcomes/{solved}/rename", {"name": "Helped"})
    assert await names(stage) == ["Helped", "Spam", "Sold"]
    await page.send(f"outcomes/{solved}/archive")
    assert await names(stage) == ["Spam", "Sold"]
    seen = await page.look("outcomes/")
    assert seen.text.index('id="archived-outcomes"') < seen.text.index("Helped")
    await page.send(f"outcomes/{solved}/bring-back")
    assert await names(stage) == ["Spam", "Sold", "Helped"]
    assert await kinds(stage) == ["outcome_added", "outcome_renamed", "outcome_archived", "outcome_brought_back"]
    assert (await page.look("audit/")).says("renamed the outcome Solved to Helped")


async def test_outcomes_move_to_a_place_of_the_list_and_no_further(stage, browser, ada):
    _, b, c = await put(stage, "A", "B", "C")
    for moved, place, order in (
        (c, "0", "CAB"),
        (c, "1", "ACB"),
        (c, "1", "ACB"),
        (b, "999", "ACB"),
        (b, "0", "BAC"),
        (b, "7", "ACB"),
    ):
        assert (await browser(ada).send(f"outcomes/{moved}/move", {"place": place})).status == 303
        assert "".join(await names(stage)) == order


async def test_outcomes_that_share_a_position_move_all_the_same(stage, browser, ada):
    ids = await put(stage, "A", "B", "C")
    await stage.make(lambda: Outcome.update(position=0).where(Outcome.team == stage.team_id).execute())
    await browser(ada).send(f"outcomes/{ids[0]}/move", {"place": "1"})
    assert await names(stage) == ["B", "A", "C"]


async def test_many_moves_at_once_leave_a_list_in_one_order(stage, browser, ada):
    ids = await put(stage, *"ABCDE")
    await asyncio.gather(*(browser(ada).send(f"outcomes/{moved}/move", {"place": "0"}) for moved in ids))
    assert sorted(await names(stage)) == list("ABCDE")
    rows = Outcome.select(Outcome.position).where(Outcome.team == stage.team_id).tuples()
    assert sorted(position for (position,) in await stage.look(lambda: list(rows))) == [0, 1, 2, 3, 4]


@ON_ONE
async def test_a_place_that_is_none_is_refused(stage, browser, ada):
    ids = await put(stage, "A", "B")
    for place in ("-1", "x", "", "9" * 5000, "²"):
        assert (await browser(ada).send(f"outcomes/{ids[0]}/move", {"place": place})).status == 400
    assert await names(stage) == ["A", "B"]


async def test_sending_twice_does_one_thing(stage, browser, ada):
    (first,) = await put(stage, "Solved")
    form = {"name": "Sold", "outcome_id": new_id()}
    for path, fields in (
        ("outcomes/", form),
        (f"outcomes/{first}/rename", {"name": "Helped"}),
        (f"outcomes/{first}/archive", {}),
        (f"outcomes/{first}/bring-back", {}),
    ):
        answers = await asyncio.gather(*(browser(ada).send(path, fields) for _ in range(3)))
        assert [seen.status for seen in answers] == [303] * 3
    assert await names(stage) == ["Sold", "Helped"]
    assert await kinds(stage) == ["outcome_added", "outcome_renamed", "outcome_archived", "outcome_brought_back"]


async def test_a_name_stands_once_in_the_list(stage, browser, ada):
    solved, spam = await put(stage, "Solved", "Spam")
    page = browser(ada)
    for headers in ({}, HTMX):
        seen = await page.send("outcomes/", {"name": "sOLVED"}, headers=headers)
        assert seen.status == 409 and seen.has('id="new-outcome-error"') and seen.has('value="sOLVED"')
        seen = await page.send(f"outcomes/{spam}/rename", {"name": "solved"}, headers=headers)
        assert seen.status == 409 and seen.has(f'id="name-{spam}-error"') and seen.has('value="solved"')
    await page.send(f"outcomes/{solved}/rename", {"name": "SOLVED"})
    await page.send(f"outcomes/{solved}/archive")
    await page.send("outcomes/", {"name": "Solved"})
    seen = await page.send(f"outcomes/{solved}/bring-back")
    assert seen.status == 409 and seen.has(f'id="refusal-{solved}"')
    assert await names(stage) == ["Spam", "Solved"]


@ON_ONE
async def test_a_wrong_name_is_told_beside_it_and_kept(stage, browser, ada):
    (solved,) = await put(stage, "Solved")
    for name, words in ((" ", "Please fill this in."), ("x" * 81, "this has 81"), ("one\ntwo", "one line"), ("a\x00b", "NUL")):
        for path, error in (("outcomes/", "new-outcome-error"), (f"outcomes/{solved}/rename", f"name-{solved}-error")):
            for headers in ({}, HTMX):
                form_id = new_id()
                seen = await browser(ada).send(path, {"name": name, "outcome_id": form_id}, headers=headers)
                assert seen.status == 422
                assert words in seen.text[seen.text.index(f'id="{error}"') :].split("</p>")[0]
                assert seen.has("<html") is (not headers)
                assert path != "outcomes/" or seen.has(f'value="{form_id}"')
    assert (await browser(ada).send("outcomes/", {"name": "<b>" + "x" * 80})).has('value="&lt;b&gt;')
    assert await names(stage) == ["Solved"]


@ON_ONE
async def test_a_team_has_at_most_a_hundred(stage, browser, ada):
    await put(stage, *(f"Outcome {at}" for at in range(100)))
    seen = await browser(ada).send("outcomes/", {"name": "One more"})
    assert seen.status == 409 and seen.says("at most 100 outcomes") and seen.has('value="One more"')
    assert len(await names(stage)) == 100


@ON_ONE
async def test_htmx_gets_the_list_and_the_words_alone(stage, browser, ada):
    first, _ = await put(stage, "A", "B")
    for path, fields in (
        ("outcomes/", {"name": "C"}),
        (f"outcomes/{first}/rename", {"name": "Z"}),
        (f"outcomes/{first}/move", {"place": "1"}),
        (f"outcomes/{first}/archive", {}),
        (f"outcomes/{first}/bring-back", {}),
    ):
        seen = await browser(ada).send(path, fields, headers=HTMX)
        assert seen.status == 200 and not seen.has("<html")
        assert seen.has('id="outcomes"') and seen.has('hx-target="#said"')


async def test_a_conversation_keeps_the_outcome_that_is_archived(stage, browser, ada):
    customer, agent = await stage.customer(), await stage.watcher("Cleo")
    await customer.write("Hello?")
    await agent.take_over(customer.conversation_id)
    (solved,) = await put(stage, "Solved")
    await agent.do("close_conversation", conversation_id=customer.conversation_id, outcome_id=solved, note=None)
    await browser(ada).send(f"outcomes/{solved}/archive")
    assert (await stage.look(lambda: Conversation.get_by_id(customer.conversation_id))).outcome_id == solved


async def test_members_and_other_teams_change_nothing(stage, browser, ada, ben):
    other, _, _ = await found_team(stage, "Harbour")
    (mine,) = await put(stage, "Solved")
    foreign = (await stage.look(lambda: Outcome.select().where(Outcome.team == other).first())).id
    before = await stage.look(lambda: list(Outcome.select().order_by(Outcome.id).dicts()))
    for action, fields in (("rename", {"name": "X"}), ("move", {"place": "1"}), ("archive", {}), ("bring-back", {})):
        for person, path, status in (
            (ben, f"outcomes/{mine}/{action}", 403),
            (ada, f"outcomes/{foreign}/{action}", 404),
            (ada, f"outcomes/{new_id()}/{action}", 404),
            (ada, f"/teams/{other}/outcomes/{foreign}/{action}", 404),
        ):
            assert (await browser(person).send(path, fields)).status == status, (action, path)
    assert (await browser(ben).send("outcomes/", {"name": "X"})).status == 403
    assert await stage.look(lambda: list(Outcome.select().order_by(Outcome.id).dicts())) == before
    seen = await browser(ben).look("outcomes/")
    assert seen.says("ask Ada.") and seen.says("Solved") and not seen.has("add-outcome")
    await browser(ada).send("outcomes/", {"name": "Mine", "outcome_id": foreign})
    assert await names(stage) == ["Solved", "Mine"]
