"""render_readmes: renders the parts of README files that come from code and from the demo. `make readme` runs it.

A part lies between two marks, `<!-- name -->` and `<!-- /name -->`. All else in these files is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path

from jobs import settings
from jobs.operations import demo
from jobs.operations.demo_results import demo_results
from jobs.schemas import dictionary
from jobs.schemas.dictionary import WINDOW_TABLES
from jobs.schemas.runs import (
    CHECK_RESULTS,
    MODEL_COMPARISON,
    PIPELINE_RUNS,
    RETENTION_RUNS,
    WINDOW_CHECK_RESULTS,
    WINDOW_RUNS,
)
from jobs.schemas.table import Table
from jobs.steps.order import BUILT_WITH
from jobs.warehouse.catalogue import CATALOGUE

ROOT = demo.REPOSITORY
README = ROOT / "README.md"
ENGINEER, ANALYST, OPERATOR, INTEGRATOR, PRIVACY, OPERATIONS, AGES, CONTAINERS, CARD, TESTS = (
    ROOT / folder / "README.md"
    for folder in (
        "jobs",
        "jobs/tables",
        "dags",
        "jobs/landing",
        "jobs/privacy",
        "jobs/operations",
        "jobs/ages",
        "docker",
        "models",
        "tests",
    )
)
READMES = (README, ENGINEER, ANALYST, OPERATOR, INTEGRATOR, PRIVACY, OPERATIONS, AGES, CONTAINERS, CARD, TESTS)

RECORDS = {
    CHECK_RESULTS: ("jobs/steps/check_night.py", "task `check_night`"),
    PIPELINE_RUNS: ("jobs/steps/publish_night.py", "task `publish_night`"),
    WINDOW_CHECK_RESULTS: ("jobs/steps/check_window.py", f"task `check_window` of `{demo.WINDOW}`"),
    WINDOW_RUNS: ("jobs/steps/publish_window.py", f"task `publish_window` of `{demo.WINDOW}`"),
    MODEL_COMPARISON: ("jobs/tables/model_comparison.py", "command `checkout-ages rescore`"),
    RETENTION_RUNS: ("jobs/privacy/retain.py", "task `retain` of `checkout_ages_retention`"),
}
"""Tables that no task of their name makes, each with the file that makes it and what runs that file."""


def made_by(table: Table) -> str:
    """Return a line that says which file and which task make a table."""
    of_window = f" of `{demo.WINDOW}`" if table in WINDOW_TABLES else ""
    task = f"task `{BUILT_WITH.get(table, table).name}`{of_window}"
    path, runner = RECORDS.get(table, (f"jobs/tables/{table.name}.py", task))
    return f"made by `{path}`, {runner}"


def packages() -> str:
    """Return a markdown list of the project's packages, each with the first line of its docstring."""
    # A package comes before the packages in it.
    names = sorted(
        path.parent.relative_to(ROOT).as_posix()
        for top in ("jobs", "models")
        for path in (ROOT / top / "__init__.py", *(ROOT / top).glob("*/__init__.py"))
    )
    return "\n".join(f"- `{name}/`: {_first_line(name)}" for name in names)


PARTS: Mapping[Path, Mapping[str, Callable[[], str]]] = {
    README: {"packages": packages},
    ENGINEER: {"settings": settings.as_markdown},
    ANALYST: {"tables": lambda: dictionary.as_markdown(made_by)},
}


def rendered(page: Path) -> str:
    """Return the text of a README, with its parts from code rendered again."""
    text = page.read_text()
    for part, content in PARTS.get(page, {}).items():
        text = _with_part(text, part, content())
    return text


def part_of(page: Path, part: str) -> str:
    """Return the text between the two marks of a part of a README."""
    _, _, rest = page.read_text().partition(f"<!-- {part} -->\n")
    return rest.partition(f"<!-- /{part} -->")[0].strip()


def main() -> None:
    """Render all parts and write the READMEs. The demo's part is rendered only if the demo has been run here."""
    for page in PARTS:
        page.write_text(rendered(page))
    catalogue = demo.WAREHOUSE / CATALOGUE
    if catalogue.exists() and demo.TRUTH.exists():
        README.write_text(_with_part(README.read_text(), "demo", demo_results(catalogue, demo.TRUTH)))
    else:
        print("README.md keeps its results of the demo: run `make demo` first to render them again")


def _first_line(package: str) -> str:
    docstring = import_module(package.replace("/", ".")).__doc__ or ""
    return docstring.partition("\n")[0]


def _with_part(readme: str, part: str, content: str) -> str:
    before, begin, rest = readme.partition(f"<!-- {part} -->\n")
    _, end, after = rest.partition(f"<!-- /{part} -->")
    return f"{before}{begin}\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    main()
