"""What was archived a moment before: no conversation begins there, and none ends so."""

import asyncio
import time

from handoff import identity, workshop
from handoff.database import connect
from handoff.models import Conversation, Outcome, Takeover
from tests.cast import Agent, Customer, Stage
from tests.waiting import wait_until

CUSTOMERS = 40


async def archive(stage: Stage, ada: Agent) -> int:
    """Gives the time of the ack."""
    session = await stage.look(lambda: identity.session_of(ada.cookie).session_id)
    await stage.handoff.database.write(stage.team_id, workshop.archive, session, stage.team_id, stage.assistant_id)
    return time.time_ns() // 1_000_000


async def test_nothing_opens_on_an_assistant_once_its_archive_was_acknowledged(stage: Stage) -> None:
    await stage.hold_assistant()
    ada = await stage.member("Ada", role="owner")
    customers = await asyncio.gather(*(stage.customer() for _ in range(CUSTOMERS)))
    acknowledged = asyncio.Event()
    late: list[dict] = []

    async def writes(customer: Customer) -> None:
        is_late = acknowledged.is_set()
        ack = await customer.ask("post_message", client_id="first", text="hello")
        if is_late:
            late.append(ack)

    async def archives() -> int:
        at = await archive(stage, ada)
        acknowledged.set()
        return at

    half = CUSTOMERS // 2
    at, *_ = await asyncio.gather(archives(), *(writes(customer) for customer in customers[:half]))
    await asyncio.gather(*(writes(customer) for customer in customers[half:]))
    assert len(late) >= half
    assert {ack.get("error", {}).get("code") for ack in late} == {"forbidden"}
    opened = await stage.look(lambda: [row.opened_at for row in Conversation.select()])
    assert all(time <= at for time in opened)


async def test_who_opens_a_conversation_waits_for_an_archive_that_is_about_to_commit(stage: Stage) -> None:
    if stage.handoff.database.embedded:
        return  # one writer at a time
    customer, beside = await stage.customer(), connect(stage.handoff.settings.database_url)
    with beside.connection_context():
        beside.execute_sql("BEGIN")
        beside.execute_sql("UPDATE assistant SET archived_at = 1 WHERE id = %s", (stage.assistant_id,))
        writing = asyncio.create_task(customer.ask("post_message", client_id="first", text="hello"))
        waits = lambda: beside.execute_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()[0]  # noqa: E731
        await wait_until(lambda: waits() or writing.done(), 5, "the customer's line waits")
        beside.execute_sql("COMMIT")
    assert (await writing)["error"]["code"] == "forbidden"
    assert await stage.look(lambda: Conversation.select().count()) == 0


async def test_a_conversation_ends_with_no_outcome_that_was_archived_meanwhile(stage: Stage) -> None:
    await stage.hold_assistant()
    ada, customer, other = await stage.agent("Ada"), await stage.customer(), await stage.customer()
    solved = await stage.outcome()
    for each in (customer, other):
        await each.write("hello")
        await ada.take_over(each.conversation_id)
    closing = {"conversation_id": customer.conversation_id, "outcome_id": solved, "note": " \n "}
    await ada.do("close_conversation", **closing)
    await stage.make(lambda: Outcome.update(archived_at=1).where(Outcome.id == solved).execute())
    refusal = await ada.refused("close_conversation", **{**closing, "conversation_id": other.conversation_id})
    assert refusal["code"] == "invalid" and "was archived" in refusal["message"]
    await ada.do("close_conversation", **closing)  # what is closed already stays closed
    assert (await stage.conversation(other.conversation_id)).status == "active"
    assert await stage.look(lambda: [row.note for row in Takeover.select().where(Takeover.ended_at.is_null(False))]) == [None]
