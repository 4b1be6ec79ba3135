"""Entries from a CSV file: looked through first, added once, and refused in words that say what to do."""

import asyncio
import io
import json
import re
import time
from html import unescape
from typing import Any

import aiohttp
import pytest

from handoff import imports, knowledge
from handoff.models import Audit
from handoff.pages.imports import FILE_BYTES
from tests.cast import Stage
from tests.test_settings_pages import HTMX, ON_ONE, Seen, ada, ben, browser, entries

__all__ = ["ada", "ben", "browser"]
KNOWN = "How long does delivery take?"


def form_of(**parts: Any) -> aiohttp.FormData:
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in parts.items():
        file = isinstance(value, bytes)
        form.add_field(name, io.BytesIO(value) if file else value, filename="entries.csv" if file else None)
    return form


async def look_through(stage: Stage, page: Any, file: bytes, **options: Any) -> Seen:
    path = f"assistants/{stage.assistant_id}/entries/import/preview"
    return await page.send(path, form_of(file=file), **options)


def rows_of(seen: Seen) -> dict[str, str]:
    """What the preview's form sends."""
    form = seen.text[seen.text.index('id="import-rows"') :].split("</form>")[0]
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)}


async def carry_out(stage: Stage, page: Any, fields: dict[str, str], **options: Any) -> Seen:
    return await page.send(f"assistants/{stage.assistant_id}/entries/import", form_of(**fields), **options)


async def known(stage: Stage) -> dict[str, str]:
    return {entry.question: entry.answer for entry in await entries(stage)}


async def test_a_file_is_looked_through_and_then_added_as_one(stage, browser, ada):
    before = await known(stage)
    file = '\ufeffAnswer;Question\r\nYes, brass ones.;Bells?\r\n"Two lines\r\nand a ""word""";Lamps?\r\n'.encode()
    seen = await look_through(stage, browser(ada), file)
    assert seen.status == 200 and seen.says("2 new entries") and seen.says("Bells?")
    assert await known(stage) == before
    done = await carry_out(stage, browser(ada), rows_of(seen))
    assert done.status == 303 and done.headers["Location"].endswith("import?added=2&updated=0")
    assert await known(stage) == before | {"Bells?": "Yes, brass ones.", "Lamps?": 'Two lines\nand a "word"'}
    lines = await stage.look(lambda: list(Audit.select().where(Audit.kind == "entries_imported")))
    assert [json.loads(line.about)["added"] for line in lines] == [2]
    assert (await browser(ada).look("audit/")).says("imported entries into Tilly: 2 added, 0 changed")
    assert (await browser(ada).look(done.headers["Location"])).says("2 entries added, 0 changed")
    customer = await stage.customer()
    await customer.write("Do you have bells?")
    await customer.heard.wait_for("message_posted", lambda fact: fact["message"]["text"] == "Yes, brass ones.")


async def test_an_import_sent_many_times_adds_once(stage, browser, ada):
    fields = rows_of(await look_through(stage, browser(ada), f"A?,1\nB?,2\n{KNOWN},Soon\n".encode()))
    answers = await asyncio.gather(*(carry_out(stage, browser(ada), fields) for _ in range(5)))
    assert [seen.status for seen in answers] == [303] * 5
    assert len(await entries(stage)) == 3
    assert await stage.look(lambda: Audit.select().where(Audit.kind == "entries_imported").count()) == 1


async def test_a_known_question_gets_the_files_answer_or_keeps_its_own_as_the_admin_chooses(stage, browser, ada):
    old = (await known(stage))[KNOWN]
    file = b"how LONG  does delivery take?,Tomorrow\nBells?,Yes\n"
    seen = await look_through(stage, browser(ada), file)
    assert seen.says("1 with another answer than now") and seen.says("Tomorrow") and seen.says(old[:20])
    await carry_out(stage, browser(ada), rows_of(seen) | {"known": "skip"})
    assert await known(stage) == {KNOWN: old, "Bells?": "Yes"}
    seen = await look_through(stage, browser(ada), file)
    assert seen.says("1 already there as they are")
    await carry_out(stage, browser(ada), rows_of(seen) | {"known": "update"})
    assert sorted((await known(stage)).values()) == ["Tomorrow", "Yes"]


async def test_an_answer_that_somebody_changed_since_the_preview_is_not_overwritten_unseen(stage, browser, ada):
    (entry,) = await entries(stage)
    fields = rows_of(await look_through(stage, browser(ada), f"{KNOWN},From the file\n".encode()))
    edit = {"question": KNOWN, "answer": "Edited meanwhile", "changed_at": str(entry.changed_at)}
    await browser(ada).send(f"assistants/{stage.assistant_id}/entries/{entry.id}/", edit)
    seen = await carry_out(stage, browser(ada), fields)
    assert seen.status == 409 and seen.says("Somebody changed entries") and seen.says("Edited meanwhile")
    assert await known(stage) == {KNOWN: "Edited meanwhile"}
    assert (await carry_out(stage, browser(ada), rows_of(seen))).status == 303
    assert await known(stage) == {KNOWN: "From the file"}


@ON_ONE
async def test_each_wrong_row_is_told_by_its_line_and_the_good_ones_go_on(stage, browser, ada):
    file = (
        "question,answer\n"
        "Good?,Yes\n"
        "\n"
        "Alone\n"
        "Too,many,columns? no\n"
        ",No question\n"
        f"{'x' * 501},Long\n"
        "NUL?,a\x00b\n"
        "good? ,Again\n"
        '"Broken"x,y\n'
        "=1+1,@SUM(A1)\n"
        "Bell?,a\x07b\n"
        '"Never closed,z\nmore\n'
    ).encode()
    seen = await look_through(stage, browser(ada), file, headers=HTMX)
    assert seen.status == 200 and not seen.has("<html")
    told = {int(line): words for line, words in re.findall(r"<strong>Line (\d+)</strong> (.*?)</p>", seen.text)}
    assert told == {
        4: "Answer: Please fill this in.",
        5: "This row has 3 columns; the first line has 2. Put a text that holds the separator in quotation marks.",
        6: "Question: Please fill this in.",
        7: "Question: At most 500 characters, please; this has 501.",
        8: "Answer: This must not hold a NUL character.",
        9: "The same question stands in line 2 already.",
        10: "A quotation mark stands in the middle of a text. Put the text in quotation marks and double those within.",
        12: "This row holds characters that cannot be shown. Take them out.",
        13: "A quotation mark opens here and is never closed. What follows was not read.",
    }
    await carry_out(stage, browser(ada), rows_of(seen))
    assert (await known(stage)).keys() == {KNOWN, "Good?", "=1+1"}


@ON_ONE
async def test_without_a_header_a_row_has_two_columns_whatever_separates_them(stage, browser, ada):
    for delimiter in ",;\t":
        file = f"A, or; B?{delimiter}Yes\nC?{delimiter}No\nD?{delimiter}x{delimiter}y\n".replace("A, or; B", "AB").encode()
        seen = await look_through(stage, browser(ada), file)
        assert seen.says("2 new entries") and seen.says("Line 3 This row has 3 columns; it needs two, question and answer.")


REFUSED = [
    (b"", "Choose a file with rows in it."),
    (b"\n\n  \n", "This file holds no rows."),
    (b"question,answer\n", "This file holds no rows."),
    ("Größe?,Ja".encode("latin-1"), "not in UTF-8"),
    ("Bells?,Yes".encode("utf-16"), "not in UTF-8"),
    (b"Half?,\xed\xa0\x80", "not in UTF-8"),
    (b"a,b\n" * 100_000, "more than 5,000 rows"),
    (b"a,b\n" + b"\n" * 100_000, "more than 50,000 lines"),
    (b"x" * (FILE_BYTES + 1), "larger than 1 MB"),
    (b"x" * 5_000_000, "larger than 1 MB"),
]


@ON_ONE
async def test_a_file_that_cannot_be_imported_is_refused_in_place_in_words(stage, browser, ada):
    for file, words in REFUSED:
        for headers in ({}, HTMX):
            seen = await look_through(stage, browser(ada), file, headers=headers)
            assert seen.status == (413 if "1 MB" in words else 422), words
            assert words in seen.text[seen.text.index('id="file-error"') :].split("</p>")[0]
            assert seen.has("<html") is (not headers)
    assert len(await entries(stage)) == 1


@ON_ONE
async def test_a_file_without_end_is_refused_before_it_was_read(stage, browser, ada):
    sent = 0

    async def endless():
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        while True:
            sent += 65536
            yield b"a,b\n" * 16384

    url = f"{stage.url}/teams/{stage.team_id}/assistants/{stage.assistant_id}/entries/import/preview"
    headers = {**browser(ada).headers, "Content-Type": "multipart/form-data; boundary=x"}
    async with aiohttp.ClientSession() as http, http.post(url, data=endless(), headers=headers) as response:
        assert response.status == 413 and "larger than 1 MB" in await response.text()
    assert sent < 100_000_000


@ON_ONE
async def test_what_is_no_form_of_ours_is_refused(stage, browser, ada):
    path = f"assistants/{stage.assistant_id}/entries/import"
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--y\r\n", b"--x\r\n\r\n", b"--x\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n--z--\r\n--x--\r\n"):
        for where in (path, f"{path}/preview"):
            assert (await browser(ada).send(where, body, headers=multipart)).status in (400, 422)
    assert (await browser(ada).send(f"{path}/preview", {"file": "a,b"})).status == 400
    odd = ("", "[", "{}", "[1]", '[["a"]]', '[["a", 1]]', '[["", "b"]]', '[["\\ud800", "b"]]', "[" * 100_000)
    for rows in (*odd, "[" + '["a","b"],' * 5001 + "[]]"):
        seen = await carry_out(stage, browser(ada), {"rows": rows, "version": "0"})
        assert seen.status == 422 and seen.says("Choose the file again."), rows[:20]
    assert len(await entries(stage)) == 1


FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\r\n'
PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\na,b\r\n--x--\r\n'
NO_FORMS = [
    FILE,  # it ends in the middle
    FILE * 30 + b"--x--\r\n",
    b"x" * 10_000,
    b"--x\r\nA x\r\n\r\na,b\r\n--x--\r\n",
    PART % (b"fi\xffle", b""),
    PART % (b"file", b"A: b\r\n" * 10_000),
    b"--x\r\nContent-Disposition: form-data; name*=x-nope''file\r\n\r\na,b\r\n--x--\r\n",
    b"--x\r\nContent-Disposition: form-data; name*=ascii''%ff\r\n\r\na,b\r\n--x--\r\n",
]


@ON_ONE
@pytest.mark.parametrize("body", NO_FORMS, ids=range(len(NO_FORMS)))
async def test_a_form_that_is_taken_apart_wrongly_is_no_fault_of_ours(stage, browser, ada, body):
    for boundary in ("x", '""', "y" * 100, '"\xff"', "x*=nope''x"):
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        seen = await browser(ada).send(f"assistants/{stage.assistant_id}/entries/import/preview", body, headers=headers)
        assert seen.status == 400 and seen.says("That form could not be read."), boundary


@ON_ONE
async def test_what_stands_before_a_form_keeps_nobody_waiting(stage, browser, ada):
    """Line by line, a megabyte of empty lines took seconds in which no socket was served."""
    late, running = [], True

    async def beat() -> None:
        while running:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            late.append(time.monotonic() - began)

    beating = asyncio.create_task(beat())
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    body = b"\n" * 1_000_000 + b"\r\n" + FILE + b"--x--\r\n"
    await browser(ada).send(f"assistants/{stage.assistant_id}/entries/import/preview", body, headers=headers)
    running = False
    await beating
    assert max(late) < 2


async def test_a_thousand_rows_go_in_and_the_page_says_how_many_more_there_are(stage, browser, ada):
    file = "".join(f"Question {number}?,Answer {number}\n" for number in range(1_000)).encode()
    seen = await look_through(stage, browser(ada), file)
    assert seen.says("And 950 more.")
    await carry_out(stage, browser(ada), rows_of(seen))
    page = await browser(ada).look(f"assistants/{stage.assistant_id}/")
    assert page.says("1,001 entries") and page.says("there are 801 more")
    assert page.text.count('data-entry="') == knowledge.SHOWN_ENTRIES
    found = await browser(ada).look(f"assistants/{stage.assistant_id}/?search=QUESTION+777%3F")
    assert found.text.count('data-entry="') == 1 and found.says("Answer 777")
    part = await browser(ada).look(f"assistants/{stage.assistant_id}/entries/list?search=nowhere%00", headers=HTMX)
    assert part.status == 200 and not part.has("<html")
    assert (await browser(ada).look(f"assistants/{stage.assistant_id}/entries/list?search=100%25", headers=HTMX)).says(
        "No entry holds"
    )
    # The same file with other answers changes each in the same go.
    seen = await look_through(stage, browser(ada), file.replace(b"Answer", b"Reply"))
    done = await carry_out(stage, browser(ada), rows_of(seen))
    assert done.headers["Location"].endswith("added=0&updated=1000")
    assert (await known(stage))["Question 5?"] == "Reply 5"


@ON_ONE
async def test_an_assistant_knows_no_more_than_it_may(stage, browser, ada, monkeypatch):
    monkeypatch.setattr(imports, "MOST_ENTRIES", 2)
    monkeypatch.setattr(knowledge, "MOST_ENTRIES", 2)
    seen = await carry_out(stage, browser(ada), rows_of(await look_through(stage, browser(ada), b"A?,1\nB?,2\n")))
    assert seen.status == 409 and seen.says("this one has 1 and would get 2 more.")
    base = f"assistants/{stage.assistant_id}/entries/"
    assert (await browser(ada).send(base, {"question": "A?", "answer": "1"})).status == 303
    seen = await browser(ada).send(base, {"question": "B?", "answer": "Typed"})
    assert seen.status == 409 and seen.says("Delete one first.") and seen.says("Typed")
    assert len(await entries(stage)) == 2


async def test_a_member_imports_nothing(stage, browser, ada, ben):
    fields = rows_of(await look_through(stage, browser(ada), b"A?,1\n"))
    assert (await look_through(stage, browser(ben), b"A?,1\n")).status == 403
    assert (await carry_out(stage, browser(ben), fields)).status == 403
    assert (await browser(ben).look(f"assistants/{stage.assistant_id}/entries/import")).status == 403
    assert len(await entries(stage)) == 1


@ON_ONE
async def test_what_a_file_holds_is_inert(stage, browser, ada):
    evil = b'"<script>alert(1)</script>","</textarea><img src=x onerror=alert(1)>"\n' + f'{KNOWN},"<b>""x"'.encode()
    seen = await look_through(stage, browser(ada), evil)
    assert not seen.has("<script>alert") and not seen.has("<img") and not seen.has("<b>")
    await carry_out(stage, browser(ada), rows_of(seen))
    page = await browser(ada).look(f"assistants/{stage.assistant_id}/")
    assert not page.has("<script>alert") and not page.has("<img")


@ON_ONE
async def test_what_the_preview_of_a_whole_megabyte_shows_can_be_imported(stage, browser, ada):
    """However its letters have to be written in between."""
    for letter in ('"' * 2, "\\", "é"):
        count = 120 // len(letter.encode())
        file = "".join(f'Question {number}{letter[0]}?,"{letter * 7_900}"\n' for number in range(count)).encode()
        seen = await look_through(stage, browser(ada), file)
        fields: dict[str, Any] = {name: value.encode() for name, value in rows_of(seen).items()}
        done = await carry_out(stage, browser(ada), fields)
        assert done.status == 303 and done.headers["Location"].endswith(f"added={count}&updated=0"), letter


@pytest.mark.parametrize("line", [b"\n", b"\r", b"\r\n", b",\n", b'""\n'])
def test_a_megabyte_of_empty_lines_is_refused_at_once(line: bytes) -> None:
    began = time.process_time()
    with pytest.raises(imports.FileRefused, match="more than 50,000 lines"):
        imports.read_csv(line * (FILE_BYTES // len(line)))
    assert time.process_time() - began < 2


def test_a_hundred_thousand_rows_take_no_time() -> None:
    with pytest.raises(imports.FileRefused):
        imports.read_csv(b"a,b\n" * 250_000)
    rows = imports.read_csv(b"".join(b"q%d,a\n" % number for number in range(5_000)))
    assert len(rows.good) == 5_000 and not rows.faults
