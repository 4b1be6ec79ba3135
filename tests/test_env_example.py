"""`.env.example` shows every setting with its default, and nothing else."""

import os
from pathlib import Path

import pytest
from dotenv import dotenv_values

from handoff.settings import PREFIX, Settings
from tests.servers import ROOT, SECRET_KEY


@pytest.fixture
def uncommented(tmp_path: Path) -> Path:
    """The example as a .env file in which each setting is really set."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    settings = [line.removeprefix("#") for line in lines if line.startswith(f"#{PREFIX}")]
    (tmp_path / ".env").write_text("\n".join(settings))
    return tmp_path / ".env"


def test_the_example_names_every_setting_in_the_order_of_the_code(uncommented: Path) -> None:
    assert list(dotenv_values(uncommented)) == [PREFIX + name.upper() for name in Settings.model_fields]


def test_the_example_shows_the_defaults(uncommented: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    shown = Settings(_env_file=uncommented, secret_key=SECRET_KEY)
    assert shown == Settings(_env_file=None, secret_key=SECRET_KEY)
