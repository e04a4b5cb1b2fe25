import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("dags", "docker", "jobs", "models", "tests")
UNUSUAL = re.compile(rf"\b({'|'.join(('ane' + 'w', 'hangs' + ' on', 'like' + 'wise'))}|men" + r"d(s|ed|ing)?)\b")
"""Words that an engineer does not say, written in halves, so that this file has none of them."""


def test_prose_uses_words_that_engineers_use() -> None:
    files = [ROOT / "README.md"]
    files += [
        path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".md", ".html")
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if UNUSUAL.search(line)
    ]
    assert not found
