from __future__ import annotations

import base64
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reliability.secret_search import Search, files_of, forms_of
from tests.reliability.secrets import measure

SECRET = "wJalr/XUtnFEMI+K7MDENG=bPxR"


def found_in(content: bytes) -> set[str]:
    search = Search({"secret": SECRET})
    search.content("kind", "place", content)
    return {finding.form for finding in search.findings}


@pytest.mark.slow
def test_no_secret_is_found_and_a_night_needs_no_more_than_its_policy_allows(tmp_path: Path) -> None:
    figures = measure(tmp_path, quick=True)
    story = (tmp_path / "findings.txt").read_text()
    assert figures["controls_caught"] == figures["controls_planted"] > 15, story
    assert (figures["secrets_found"], figures["places_missed"], figures["runs_ended_otherwise"]) == (0, 0, 0), story


@pytest.mark.parametrize("form", forms_of(SECRET))
def test_a_secret_is_found_in_each_form(form: str) -> None:
    assert found_in(b"before " + forms_of(SECRET)[form] + b" after") == {form}


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_secret_is_found_in_base64_wherever_it_begins(before: bytes, after: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert found_in(encode(before + SECRET.encode() + after))


def test_nothing_is_found_where_nothing_is() -> None:
    assert found_in(SECRET[:-1].encode() + b"x" + SECRET[1:].encode()) == set()


def test_a_secret_is_found_in_a_gzipped_file_and_in_a_compressed_column() -> None:
    parquet = io.BytesIO()
    pq.write_table(pa.table({"note": [SECRET] * 9}), parquet, compression="zstd")
    assert found_in(gzip.compress(SECRET.encode())) == {"plain"}
    assert "plain" in found_in(parquet.getvalue())


def test_a_file_is_searched_again_when_it_has_changed(tmp_path: Path) -> None:
    changed_files = files_of(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"one")
    assert list(changed_files()) == [("folder/a", b"one")]
    assert list(changed_files()) == []
    (tmp_path / "folder" / "a").write_bytes(b"other")
    assert list(changed_files()) == [("folder/a", b"other")]
