"""A wrong or missing setting stops the start, with one line that names it."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import app
from handoff.settings import Settings
from tests.servers import LOOPBACK, ROOT, SECRET_KEY, free_port


def _start(folder: Path, timeout: float = 60, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run app.py, which is meant to end by itself; None leaves a setting out."""
    given = {"secret_key": SECRET_KEY, "port": free_port(), "database_url": f"sqlite:///{folder / 'handoff.db'}", **settings}
    environment = {f"HANDOFF_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    command = [sys.executable, ROOT / "app.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)


WRONG = {
    "no secret": ("secret_key", None),
    "an empty secret": ("secret_key", ""),
    "a short secret": ("secret_key", "short"),
    "a port that is a word": ("port", "http"),
    "a port out of range": ("port", 70_000),
    "another database": ("database_url", "mysql://somebody@somewhere/handoff"),
    "no database at all": ("database_url", ""),
    "sqlite without a path": ("database_url", "sqlite://"),
    "a database without a name": ("database_url", f"postgresql://handoff@{LOOPBACK}"),
    "another broker": ("redis_url", "amqp://somewhere"),
    "a base URL with a path": ("base_url", "https://chat.example.org/handoff"),
    "a base URL that is none": ("base_url", "chat.example.org"),
    "plans that are no JSON": ("plans", '{"free": {"human_agents": 1'),
    "plans without seats": ("plans", '{"free": {}}'),
    "plans with fewer than no seats": ("plans", '{"free": {"human_agents": -1}}'),
    "no plans": ("plans", "{}"),
    "plans that are a list": ("plans", "[]"),
    "a log level that is none": ("log_level", "loud"),
    "a pace that is none": ("words_per_second", "fast"),
    "an endless pace": ("words_per_second", "inf"),
    "a demo that is neither": ("demo", "perhaps"),
    "no connections": ("max_connections", 0),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_setting_is_named_in_one_line(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, value = WRONG[wrong]
    monkeypatch.chdir(tmp_path)  # away from a developer's .env
    monkeypatch.setenv("HANDOFF_SECRET_KEY", SECRET_KEY)
    if value is None:
        monkeypatch.delenv(f"HANDOFF_{name.upper()}")
    else:
        monkeypatch.setenv(f"HANDOFF_{name.upper()}", str(value))
    status = app.main()
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert (status, said.out) == (2, "")
    assert line.startswith(f"HANDOFF_{name.upper()}: ")
    if name == "secret_key" and value:
        assert value not in line


def test_the_process_itself_ends_with_that_line(tmp_path: Path) -> None:
    _named(_start(tmp_path, secret_key=None), "secret_key")


def _named(ended: subprocess.CompletedProcess[str], name: str) -> None:
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"HANDOFF_{name.upper()}: ")
    assert ended.stdout == ""


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        ended = _start(tmp_path, port=other.getsockname()[1], log_level="error")
    _named(ended, "port")


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    ended = _start(tmp_path, host="203.0.113.1", log_level="error")
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(("HANDOFF_HOST: ", "HANDOFF_PORT: "))
    assert "203.0.113.1" in line


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = _start(tmp_path, database_url=f"postgresql://handoff:Zx9Marked@{LOOPBACK}:{free_port()}/handoff", log_level="error")
    _named(ended, "database_url")
    assert "Zx9Marked" not in ended.stderr


def test_a_database_whose_name_is_not_there_is_named(tmp_path: Path, postgresql_url: str) -> None:
    _named(_start(tmp_path, database_url=postgresql_url + "_and_more", log_level="error"), "database_url")


@pytest.mark.parametrize("path", ["/proc/handoff/handoff.db", "{folder}/a-file/handoff.db", "{folder}"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "a-file").write_text("")
    _named(_start(tmp_path, database_url=f"sqlite:///{path.format(folder=tmp_path)}", log_level="error"), "database_url")


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear customer, " * 1000)
    ended = _start(tmp_path, database_url=f"sqlite:///{tmp_path / 'letter.txt'}", log_level="error")
    _named(ended, "database_url")
    assert (tmp_path / "letter.txt").read_text() == "Dear customer, " * 1000


def test_a_name_that_is_no_setting_is_pointed_out(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        ended = _start(tmp_path, secrte_key="Zx9Marked", port=other.getsockname()[1])
    warning = json.loads(ended.stderr.splitlines()[0])
    assert (warning["event"], warning["name"]) == ("unknown_setting", "HANDOFF_SECRTE_KEY")
    assert "Zx9Marked" not in ended.stderr


def test_a_secret_is_not_shown_where_settings_are() -> None:
    settings = Settings(_env_file=None, secret_key=SECRET_KEY)
    assert SECRET_KEY not in f"{settings!r} {settings}"
