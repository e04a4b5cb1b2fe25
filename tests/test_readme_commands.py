from __future__ import annotations

import re
import shlex

import pytest
import typer

from jobs.cli import app
from jobs.readme import README
from tests.readme_commands import NOT_RUN, commands, why_not_run

OF_OURS = [command for command in commands() if command.startswith("checkout-ages ")]


def test_each_block_of_commands_is_marked_as_one_and_leans_on_no_folder_of_its_own() -> None:
    unmarked = README.read_text().replace("```sh\n", "").split("```\n")
    assert not [text for text in unmarked if text.startswith(("checkout-ages", "make", "airflow", ".venv"))]
    assert len(OF_OURS) > 20


@pytest.mark.parametrize("command", filter(why_not_run, OF_OURS))
def test_a_command_that_is_not_run_has_the_options_that_it_is_given(command: str) -> None:
    words = shlex.split(re.sub(r"[|<].*", "", command), comments=True)
    group = typer.main.get_command(app)
    group.commands[words[1]].make_context(words[1], words[2:])  # raises UsageError


def test_what_is_not_run_has_a_reason_and_no_reason_is_of_a_command_that_is_gone() -> None:
    assert {next(filter(command.startswith, NOT_RUN)) for command in commands() if why_not_run(command)} == set(NOT_RUN)
