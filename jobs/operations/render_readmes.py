"""render_readmes: renders the parts of README.md that are made from code. `make readme` runs it."""

from __future__ import annotations

from pathlib import Path

from jobs import settings
from jobs.schemas import dictionary

README = Path(__file__).resolve().parents[2] / "README.md"


def rendered(readme: str) -> str:
    """Return the text with the settings and the data dictionary as they are now between their marks."""
    return _with_part(_with_part(readme, "settings", settings.as_markdown()), "tables", dictionary.as_markdown())


def _with_part(readme: str, part: str, content: str) -> str:
    before, begin, rest = readme.partition(f"<!-- {part} -->\n")
    _, end, after = rest.partition(f"<!-- /{part} -->")
    return f"{before}{begin}\n{content}\n\n{end}{after}"


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
