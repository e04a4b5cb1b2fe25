from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli import app
from jobs.operations.render_readmes import CARD, ROOT
from jobs.warehouse.catalogue import write_catalogue
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE
from tests.readme_commands import COMMAND_PAGES, NOT_RUN, arguments, commands, why_not_run

OF_OURS = [command for command in commands() if command.startswith("checkout-ages ")]


def test_each_block_of_commands_is_marked_as_one_and_leans_on_no_folder_of_its_own() -> None:
    for page in set(COMMAND_PAGES) - {CARD}:
        unmarked = page.read_text().replace("```sh\n", "").split("```\n")
        assert not [text for text in unmarked if text.startswith(("checkout-ages", "make", "airflow", ".venv"))]
    assert len(OF_OURS) > 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a .demo of which one photo has landed and no day is published yet."""
    folder = tmp_path_factory.mktemp("stranger")
    write_catalogue(ObjectStore((folder / ".demo/warehouse").as_uri()))
    photo = f"photos/business_date={BUSINESS_DATE}/store_id=0042/till_id=03/20261120T183015.123Z.jpg"
    ObjectStore((folder / ".demo/landing").as_uri()).write(photo, b"no photo")
    return folder


@pytest.mark.parametrize("command", [command for command in OF_OURS if not why_not_run(command)])
def test_a_command_runs_as_it_is_pasted(folder: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CHECKOUT_AGES_LANDING_URI", ".demo/landing")
    monkeypatch.setenv("CHECKOUT_AGES_WAREHOUSE_URI", ".demo/warehouse")
    _, *words = arguments(command, folder)
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "--dry-run" in words or done.output or Path(words[words.index("--out") + 1]).stat().st_size > 0


@pytest.mark.parametrize("command", filter(why_not_run, OF_OURS))
def test_a_command_that_is_not_run_has_the_options_that_it_is_given(command: str) -> None:
    words = shlex.split(re.sub(r"[|<].*", "", command), comments=True)
    group = typer.main.get_command(app)
    group.commands[words[1]].make_context(words[1], words[2:])  # raises UsageError


def test_what_is_not_run_has_a_reason_and_no_reason_is_of_a_command_that_is_gone() -> None:
    assert {next(filter(command.startswith, NOT_RUN)) for command in commands() if why_not_run(command)} == set(NOT_RUN)


def test_a_command_within_a_sentence_or_a_table_is_there_under_its_name() -> None:
    names = {command.name for command in typer.main.get_command(app).commands.values()}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in COMMAND_PAGES:
        within = " ".join(page.read_text().split())
        assert set(re.findall(r"`checkout-ages ([a-z-]+)", within)) <= names, page
        assert set(re.findall(r"`make ([a-z-]+)", within)) <= targets, page
        for module in re.findall(r"`python -m ([\w.]+)", within):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), (page, module)
