import pytest

from jobs import check_night, rejected_transaction_lines, transaction_lines
from jobs.errors import FailedCheckError, StoreError
from jobs.landing import receipts_digest, transactions_folder, unchanged_receipts
from jobs.object_store import ObjectStore
from jobs.settings import Settings
from jobs.warehouse import Warehouse
from tests.jobs.test_erase import HEADER, OF_OTHERS, OF_THE_ERASED
from tests.rows import BUSINESS_DATE

FOLDER = transactions_folder(BUSINESS_DATE)


def test_the_digest_of_receipts_depends_on_the_files_and_not_on_marks(landing: ObjectStore) -> None:
    landing.write(f"{FOLDER}/a.csv", b"a")
    digest = receipts_digest(landing, BUSINESS_DATE)
    landing.write(f"{FOLDER}/_SUCCESS", b"")
    assert receipts_digest(landing, BUSINESS_DATE) == digest
    landing.write(f"{FOLDER}/a.csv", b"other")
    assert receipts_digest(landing, BUSINESS_DATE) != digest


@pytest.mark.parametrize("change", ["added", "replaced", "deleted"])
def test_receipts_that_change_while_they_are_read_fail_the_task(landing: ObjectStore, change: str) -> None:
    landing.write(f"{FOLDER}/a.csv", b"a")
    with (  # noqa: PT012  the block is what reads meanwhile
        pytest.raises(StoreError, match="were added, replaced or deleted while they were read; run the step again"),
        unchanged_receipts(landing, BUSINESS_DATE),
    ):
        if change == "deleted":
            landing.delete([f"{FOLDER}/a.csv"])
        else:
            landing.write(f"{FOLDER}/{'b' if change == 'added' else 'a'}.csv", b"more")


def test_receipts_delivered_anew_between_the_two_tables_of_lines_stop_the_night(
    settings: Settings, warehouse: Warehouse, landing: ObjectStore
) -> None:
    landing.write(f"{FOLDER}/a.csv", f"{HEADER}\n{OF_OTHERS}".encode())
    transaction_lines.run(warehouse, BUSINESS_DATE, settings)
    landing.write(f"{FOLDER}/a.csv", f"{HEADER}\n{OF_OTHERS}{OF_THE_ERASED}".encode())
    rejected_transaction_lines.run(warehouse, BUSINESS_DATE, settings)
    with pytest.raises(FailedCheckError, match="delivered other receipt files after transaction_lines was read"):
        check_night.run(warehouse, BUSINESS_DATE, settings)
