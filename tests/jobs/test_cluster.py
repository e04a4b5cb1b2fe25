from pathlib import Path

import pytest

from jobs.cluster import code_digest, refuse_other_code
from jobs.errors import InputError


def installed(folder: Path, **contents: str) -> Path:
    for package in ("jobs", "models"):
        (folder / package).mkdir(parents=True)
    for name, content in contents.items():
        (folder / "jobs" / f"{name}.py").write_text(content)
    return folder


def test_the_same_code_in_another_folder_is_the_same(tmp_path: Path) -> None:
    one, other = (installed(tmp_path / name, run="1", night="2") for name in ("one", "other"))
    (other / "jobs" / "notes.txt").write_text("not code")
    assert code_digest(one) == code_digest(other)


@pytest.mark.parametrize("contents", [{"run": "1"}, {"run": "1", "night": "3"}, {"run": "1", "evening": "2"}])
def test_code_that_differs_in_a_file_is_another(tmp_path: Path, contents: dict[str, str]) -> None:
    one, other = installed(tmp_path / "one", run="1", night="2"), installed(tmp_path / "other", **contents)
    assert code_digest(one) != code_digest(other)


def test_work_for_a_driver_with_other_code_is_refused() -> None:
    refuse_other_code(code_digest())
    with pytest.raises(InputError, match=r"has other code of this project .* than Spark's driver \(0123abcd…\)"):
        refuse_other_code("0123abcd" * 8)
