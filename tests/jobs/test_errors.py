from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import FailedCheckError, InputError, StoreError, one_line


def test_no_key_can_forge_a_line_of_a_log_or_steer_a_terminal() -> None:
    hostile = "photos/a\n2026-11-21 error: all is well\r\x1b[2J\u202egpj.exe\u2028x\x85y\ud800.jpg"
    told = str(InputError(f"key '{hostile}'"))
    assert told == (r"key 'photos/a\n2026-11-21 error: all is well\r\x1b[2J\u202egpj.exe\u2028x\x85y\ud800.jpg'")
    assert (str(StoreError(hostile)), str(FailedCheckError(hostile))) == (one_line(hostile), one_line(hostile))


def test_other_letters_stay_as_they_are() -> None:
    sentence = "store '\u041c\u043e\u0441\u043a\u0432\u0430', caf\u00e9, 3 × 4 – \u0663"
    assert str(InputError(sentence)) == sentence


@pytest.mark.parametrize("kind", [InputError, StoreError, FailedCheckError])
def test_an_error_crosses_a_process_border(kind: type[Exception]) -> None:
    crossed = pickle.loads(pickle.dumps(kind("a\nb")))
    assert (type(crossed), str(crossed)) == (kind, "a\\nb")


REPOSITORY = Path(__file__).parents[2]
LIBRARY_THAT_ABORTS_AT_THE_END = "import atexit, os; atexit.register(os.abort)\n"
DO_WORK = """
import logging, sys
from jobs.errors import end_process
handler = logging.FileHandler(sys.argv[1])
logging.getLogger().addHandler(handler)
logging.warning("logged")
sys.stdout.write("printed")
"""


def test_all_that_was_printed_and_logged_is_there_and_the_exit_code_is_that_of_the_work(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run(DO_WORK + "end_process(99)", str(log))
    assert (done.returncode, done.stdout, log.read_text()) == (99, "printed", "logged\n")


def test_without_it_such_a_library_would_end_the_process(tmp_path: Path) -> None:
    assert run(DO_WORK + "sys.exit(99)", str(tmp_path / "log")).returncode < 0


def test_output_that_cannot_be_written_is_no_success() -> None:
    command = [sys.executable, "-c", DO_WORK + "end_process(0)", os.devnull]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, cwd=REPOSITORY, env=os.environ | {"PYTHONUNBUFFERED": ""})
    assert done.returncode == 120


def test_the_command_line_ends_so_too() -> None:
    command_line = "import sys; from jobs.cli import main; main()"
    assert run(command_line, "--help").returncode == 0
    assert run(command_line, "no-such-command").returncode == 2
    assert run("import sys; from jobs import cli; cli.app = lambda: sys.exit('words'); cli.main()").returncode == 1


def test_a_step_of_a_night_ends_so_too(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    places = {
        "CHECKOUT_AGES_LANDING_URI": tmp_path.as_uri(),
        "CHECKOUT_AGES_WAREHOUSE_URI": f"{tmp_path.as_uri()}/tables",
    }
    step = "import runpy; runpy.run_module('jobs.run', run_name='__main__')"
    arguments = ("wait_for_business_date", "--business-date", "2026-11-20", "--run-id", "r")
    assert run(step, *arguments, **places).returncode == 75


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIBRARY_THAT_ABORTS_AT_THE_END + program, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=os.environ | environment, capture_output=True, text=True)
