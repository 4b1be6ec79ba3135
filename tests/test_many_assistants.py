"""A team with many assistants: the list asks the database no more than for a few."""

from handoff.models import Assistant, Conversation, Customer, Entry, Widget
from tests.asked import selects
from tests.cast import Stage
from tests.test_settings_pages import HTMX, ada, browser

__all__ = ["ada", "browser"]


def add_assistants(stage: Stage, first: int, last: int) -> None:
    numbers = range(first, last)
    every: dict = {Assistant: [], Entry: [], Widget: [], Customer: [], Conversation: []}
    for number in numbers:
        key = f"{number:03}"
        archived = number if number % 9 == 0 else None
        every[Assistant].append({"id": key, "team": stage.team_id, "name": f"Assistant {key}", "archived_at": archived})
        every[Entry] += [{"id": f"{key}{n}", "assistant": key, "question": "Q", "answer": "A"} for n in range(3)]
        every[Widget].append({"id": key, "assistant": key, "name": "Web site", "key": f"key-{key}"})
        every[Customer].append({"id": key, "widget": key})
        every[Conversation].append({"id": key, "team": stage.team_id, "assistant": key, "widget": key, "customer": key})
    for table, rows in every.items():
        table.insert_many(rows).execute()


async def test_a_list_of_five_hundred_is_asked_for_like_one_of_ten(stage, browser, ada):
    page = browser(ada)
    await stage.make(lambda: add_assistants(stage, 0, 10))
    for headers in ({}, HTMX):
        await page.look("assistants/", headers=headers)
    few = [await selects(stage, lambda h=h: page.look("assistants/", headers=h)) for h in ({}, HTMX)]
    await stage.make(lambda: add_assistants(stage, 10, 500))
    many = [await selects(stage, lambda h=h: page.look("assistants/", headers=h)) for h in ({}, HTMX)]
    assert few == many
    seen = await page.look("assistants/")
    assert seen.text.count("data-assistant=") == 501
    assert seen.says("Assistant 499") and seen.says("3 entries") and seen.says("1 active conversation")


async def test_an_assistants_page_with_many_entries_is_asked_for_like_one_with_few(stage, browser, ada):
    page, path = browser(ada), f"assistants/{stage.assistant_id}/"
    asked = []
    for first, last in ((0, 5), (5, 300)):
        rows = [{"id": f"e{n}", "assistant": stage.assistant_id, "question": f"Q{n}", "answer": "A"} for n in range(first, last)]
        await stage.make(lambda rows=rows: Entry.insert_many(rows).as_rowcount().execute())
        await page.look(path)
        asked.append(await selects(stage, lambda: page.look(path)))
    assert asked[0] == asked[1]
