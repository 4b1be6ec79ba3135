"""Rules of the house that a reader would otherwise have to remember."""

import ast
import re
from pathlib import Path

import pytest

from handoff import events
from handoff.namespaces.agents import Agents
from handoff.namespaces.customers import Customers
from handoff.settings import Settings

ROOT = Path(__file__).parent.parent
SOURCES = [*sorted((ROOT / "handoff").rglob("*.py")), ROOT / "app.py"]
README = (ROOT / "README.md").read_text()


def calls(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    return [node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]


def test_only_broadcasts_emits() -> None:
    assert [path.name for path in SOURCES if "emit" in calls(path)] == ["broadcasts.py"]


def test_only_settings_reads_the_environment() -> None:
    reads = re.compile(r"os\.environ|os\.getenv|getenv\(")
    assert [path.name for path in SOURCES if reads.search(path.read_text())] == ["settings.py"]


def test_no_file_holds_the_marks_of_a_merge() -> None:
    """Templates and styles would show them to people; no linter looks there."""
    folders = ("handoff", "templates", "static/css", "static/js", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".html", ".css", ".js")]
    marks = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    assert [path.name for path in files if marks.search(path.read_text())] == []


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_in_the_readme_and_in_the_example(name: str) -> None:
    assert f"`HANDOFF_{name.upper()}`" in README
    assert f"HANDOFF_{name.upper()}=" in (ROOT / ".env.example").read_text()


@pytest.mark.parametrize("name", sorted({*Agents.handlers, *Customers.handlers}))
def test_every_command_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


FACTS = (
    "conversation_opened",
    "conversation_changed",
    "message_posted",
    "typing_changed",
    "conversation_taken_over",
    "signal_raised",
    "note_added",
    "conversation_closed",
    "draft_changed",
    "draft_withdrawn",
    "seats_changed",
    "members_changed",
    "assistants_changed",
    "outcomes_changed",
    "widgets_changed",
)


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in README


def test_every_fact_that_is_emitted_is_in_that_list() -> None:
    said = set(
        re.findall(
            r'"((?:conversation|message|typing|signal|note|draft|seats|members|assistants|outcomes|widgets)_[a-z_]+)"',
            source("broadcasts.py"),
        )
    )
    assert said - {"conversation_id"} == set(FACTS)


def test_every_code_is_in_the_readme() -> None:
    codes = set(re.findall(r'code = "([a-z_]+)"', source("errors.py"))) | set(re.findall(r'Turned\(\s*"([a-z_]+)"', doors()))
    assert codes - {code for code in codes if f"`{code}`" in README} == set()


def test_calls_go_down_and_never_up() -> None:
    """Operations know neither the doors nor the pages; what is true knows nobody."""
    upper = re.compile(r"from handoff\.(pages|namespaces|broadcasts|outbox)|import socketio|import aiohttp|from aiohttp")
    lower = (
        "models",
        "clock",
        "events",
        "errors",
        "messages",
        "conversations",
        "customers",
        "turns",
        "takeovers",
        "signals",
        "notes",
    )
    assert [name for name in (*lower, "seats", "snapshots", "watching") if upper.search(source(f"{name}.py"))] == []


def test_no_file_is_called_utils_helpers_common_or_manager() -> None:
    assert not [path for path in SOURCES if re.search(r"util|helper|common|manager|service|repositor", path.name)]


def test_facts_can_be_relayed_by_their_names() -> None:
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Fact)}
    bases = {events.Fact, events.ConversationFact, events.TurnFact}
    assert set(events.FACTS.values()) == kinds - bases


def source(name: str) -> str:
    return (ROOT / "handoff" / name).read_text()


def doors() -> str:
    return "".join(path.read_text() for path in (ROOT / "handoff" / "namespaces").glob("*.py"))
