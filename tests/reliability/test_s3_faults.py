"""Tests of a representative part of the faults of S3; `python -m tests.reliability` tries all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reliability import s3_faults
from tests.reliability.fault_proxy import FaultProxy, running_proxy
from tests.reliability.s3_faults import IMPATIENT, Findings, endpoint_at, patience
from tests.servers.s3_server import S3_PORT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy(s3_bucket: str) -> Iterator[FaultProxy]:
    with running_proxy(S3_PORT) as proxy, endpoint_at(proxy), patience(**IMPATIENT):
        yield proxy


def test_each_photo_has_a_row_whatever_the_store_does_and_no_other_bytes_are_estimated(proxy: FaultProxy) -> None:
    findings = Findings()
    s3_faults.meet_faults_of_photos(proxy, 60, findings)
    assert (findings.photo_count, findings.lost, findings.wrongly_inferred, findings.unexpected) == (60, 0, 0, [])
    assert proxy.sent.total() > 40


def test_credentials_that_expire_fail_the_task_and_no_photo_is_called_unreadable(proxy: FaultProxy) -> None:
    findings = Findings()
    s3_faults.meet_expired_credentials(proxy, findings)
    assert findings.unexpected == []


def test_a_listing_of_several_pages_is_whole_or_fails(proxy: FaultProxy) -> None:
    findings = Findings()
    s3_faults.meet_faults_of_listings(proxy, findings)
    assert findings.unexpected == []


def test_a_table_that_is_replaced_while_it_is_read_is_never_read_half_and_half(proxy: FaultProxy) -> None:
    findings = Findings()
    s3_faults.meet_a_table_replaced_while_it_is_read(findings)
    assert findings.unexpected == []


def test_half_a_receipt_file_is_never_a_days_log(proxy: FaultProxy) -> None:
    findings = Findings()
    s3_faults.meet_faults_of_receipts(proxy, findings)
    assert findings.unexpected == []


def test_a_client_that_ignores_which_version_was_listed_is_found_out(proxy: FaultProxy) -> None:
    findings = s3_faults.findings_of_a_careless_client(proxy)
    assert findings.wrongly_inferred > 0
    assert findings.unexpected


def test_a_table_is_published_whole_though_a_repeated_request_is_cut_off(proxy: FaultProxy) -> None:
    findings = Findings()
    s3_faults.meet_two_faults_of_one_request(proxy, findings)
    assert findings.unexpected == []
