from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import InputError
from jobs.warehouse.object_store import ObjectStore
from tests.reliability.secret_search import Search, files_of, forms_of
from tests.reliability.secrets import LANDING, WAREHOUSE, measure, night_identity, readme_policies
from tests.servers.s3_server import free_port, running_s3_server

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


@pytest.mark.slow
def test_the_policy_of_the_nights_forbids_to_write_the_landing_and_to_read_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, identity = free_port(), night_identity()
    with running_s3_server(tmp_path, port, [identity], (LANDING, WAREHOUSE)) as admin:
        for key in ("landing/a", "elsewhere/a"):
            admin.put_object(Bucket=LANDING, Key=key, Body=b"one")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", identity.key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", identity.secret)
        landing, elsewhere = (ObjectStore(f"s3://{LANDING}/{folder}") for folder in ("landing", "elsewhere"))
        assert landing.read("a") == b"one"
        for forbidden in (
            lambda: landing.write("a", b"other"),
            lambda: landing.delete(["a"]),
            lambda: elsewhere.read("a"),
            lambda: ObjectStore(f"s3://{WAREHOUSE}/elsewhere").write("a", b"other"),
        ):
            with pytest.raises(InputError, match="refused the credentials"):
                forbidden()


def test_the_policies_of_readme_let_each_do_its_part_only() -> None:
    stores, _, analysts = (json.dumps(policy) for policy in readme_policies())
    assert set(re.findall(r"s3:\w+", stores)) == {"s3:PutObject", "s3:AbortMultipartUpload"}
    assert set(re.findall(r"s3:[A-Z]\w+", analysts)) == {"s3:ListBucket", "s3:GetObject"}
    assert night_identity().actions == (
        "List:stores-landing",
        "List:tables-warehouse",
        "Read:stores-landing/landing/*",
        "Read:tables-warehouse/warehouse/*",
        "Write:tables-warehouse/warehouse/*",
    )


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
