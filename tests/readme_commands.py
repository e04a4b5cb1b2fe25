"""The commands of the READMEs as a stranger pastes them, and why some of them are not run as they are written."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from jobs.operations.render_readmes import READMES, ROOT

COMMAND_PAGES = (*READMES, ROOT / "models/TRAINING.md")

NOT_RUN = {
    "make demo": "Airflow runs the same DAGs on a smaller day in tests/end_to_end",
    "make test": "it is what runs the tests",
    "make quick": "it runs the same tests",
    ".venv/bin/pytest": "it runs the same tests",
    "make bench": "it takes an hour; tests/benchmarks/test_benchmarks.py runs a small one",
    "make reliability": "it takes an hour; tests/reliability runs small ones",
    "make up": "it needs docker or podman; make docker-test runs the same containers",
    "make down": "it stops what make up starts",
    "make docker-test": "it takes many minutes, and needs docker or podman",
    "export PATH": "it sets what the tests set for the commands below it",
    "checkout-ages doctor": "tests/jobs/operations/test_doctor.py runs it",
    "checkout-ages sample-day": "it takes long; tests/jobs/operations/sample_day/test_sample_day.py writes days",
    "checkout-ages night": "tests/end_to_end/test_night.py runs its steps, and asks the worked questions of it",
    "checkout-ages check-delivery --business-date 2026-11-20 --landing-uri": "it names a bucket of nobody; "
    "tests/jobs/operations/test_check_delivery.py runs it",
    "checkout-ages check-delivery --business-date 2026-11-20 receipts.csv": "it names a file of the store's; "
    "tests/jobs/operations/test_check_delivery.py runs it",
    "checkout-ages cashier-window": "tests/end_to_end/test_night.py runs its steps",
    "checkout-ages report": "it needs a published day; tests/jobs/steps/test_nightly_report.py writes pages",
    "checkout-ages plan --photos-per-day 200000 --stores 300 --hours 3 --measure": "test_measure_rates.py does",
    "checkout-ages erase": "it names receipts and photos of nobody; tests/jobs/privacy/test_erase.py runs it",
    "checkout-ages rescore": "it takes long; tests/jobs/operations/test_rescore.py runs it",
    "checkout-ages explore": "it needs labelled photos; tests/models/test_explore_faces.py runs it",
    "checkout-ages train": "it needs labelled photos; tests/models/test_train_age_resnet50.py runs it",
    "checkout-ages evaluate": "it needs labelled photos; tests/models/test_evaluate_age_resnet50.py runs it",
    "checkout-ages pseudonym": "it needs a key and a list of staff; tests/jobs/test_cli.py runs it",
    "airflow dags trigger": "it needs a scheduler; tests/end_to_end runs the DAGs",
    "checkout-ages backfill": "it names a year of nobody; tests/jobs/operations/test_backfill.py runs it",
    "airflow backfill create": "it needs a scheduler; tests/dags prove which days it gives",
}
"""By how a command begins."""


def commands() -> list[str]:
    """Return each command of the pages once, a query with all its lines, in order."""
    pages = "\n".join(page.read_text() for page in COMMAND_PAGES)
    blocks = re.findall(r"^```sh\n(.*?)^```", pages, re.DOTALL | re.MULTILINE)
    blocks += re.findall(
        r"^```\n(checkout-ages .*?)^```", pages, re.DOTALL | re.MULTILINE
    )  # as the model card has them
    return list(dict.fromkeys(command for block in blocks for command in _commands_of(block)))


def why_not_run(command: str) -> str | None:
    """Return the reason why a command is not run as it is written, None where it is."""
    return next((reason for beginning, reason in NOT_RUN.items() if command.startswith(beginning)), None)


def arguments(command: str, folder: Path) -> list[str]:
    """Return the words of a command as a shell makes them in a folder: without comments, with globs and $(…) filled."""
    filled = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], cwd=folder, capture_output=True, text=True, check=True
    )
    return filled.stdout.split("\0")[:-1]


def _commands_of(block: str) -> list[str]:
    """Cut a block where a line ends outside quotes."""
    found, lines = [], []
    for line in block.splitlines():
        lines.append(line)
        try:
            words = shlex.split("\n".join(lines), comments=True)
        except ValueError:  # a quote is still open
            continue
        if words:
            found.append("\n".join(lines))
        lines = []
    return found
