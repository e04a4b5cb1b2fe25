"""README's results of the demo: the code gives their form, their sums are exact, estimates lie in their intervals."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from jobs.operations.demo import BUSINESS_DATE as DEMO_DATE
from jobs.operations.demo import SEED
from jobs.operations.demo_results import AFFINITY_HEADER, PURCHASES_HEADER, SALE_HEADER, demo_results
from jobs.operations.render_readmes import README, part_of
from jobs.operations.sample_day.sample_baskets import completejourney_baskets
from jobs.operations.sample_day.sample_receipts import sample_receipts
from jobs.schemas.alcohol import ALCOHOL_SALE_AUDIT
from jobs.schemas.buyers import AGE_GROUP_AFFINITY, AGE_GROUP_PURCHASES, TRANSACTION_AGES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, TRANSACTION_LINES
from jobs.settings import Settings
from jobs.warehouse.catalogue import CATALOGUE, write_catalogue
from jobs.warehouse.object_store import ObjectStore
from tests.given.catalogued_tables import publish
from tests.given.rows import BUSINESS_DATE

TRUTH = """\
kind,photo_key,store_id,till_id,transaction_id,true_age_years
transaction,,0042,03,t1,24
transaction,,0042,03,t2,70
transaction,,0042,03,t3,30
photo,p1,0042,03,t1,24
photo,p2,0042,03,t2,70
"""


def receipt(transaction_id: str) -> dict[str, str]:
    return {"store_id": "0042", "till_id": "03", "transaction_id": transaction_id}


def line(transaction_id: str, net_amount: str) -> dict[str, object]:
    return receipt(transaction_id) | {"line_number": 1, "net_amount": Decimal(net_amount)}


def spent(age_group: str, net_amount: str, estimated: float) -> dict[str, object]:
    amounts = {"net_amount": Decimal(net_amount), "estimated_net_amount": estimated}
    return {"store_id": "0042", "product_category": "BEER", "currency": "USD", "age_group": age_group} | amounts


def affinity(category: str, index: float, low: float, high: float) -> dict[str, object]:
    interval = {"affinity_index": index, "affinity_index_low": low, "affinity_index_high": high}
    return {"age_group": "18-24", "product_category": category} | interval


def sale(transaction_id: str, probability: float) -> dict[str, object]:
    status = {"audit_status": "challenge_age_unchecked", "audit_reason": f"P(under 18) {probability}"}
    return receipt(transaction_id) | {"under_legal_age_probability": probability} | status


def cells(table: str) -> list[list[str]]:
    """The cells of a table's rows, without its header."""
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def amounts(table: str) -> list[list[Decimal]]:
    return [[Decimal(cell.replace(",", "")) for cell in row[1:4]] for row in cells(table)]


def test_results_show_the_truth_next_to_the_estimates(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "warehouse").as_uri())
    ages = [receipt("t1") | {"age_group": "25-34"}, receipt("t2") | {"age_group": "65+"}]
    unknown = receipt("t3") | {"age_group": "unknown"}
    publish(store, TRANSACTION_LINES, BUSINESS_DATE, line("t1", "1000.50"), line("t2", "3.00"), line("t3", "7.00"))
    publish(store, TRANSACTION_AGES, BUSINESS_DATE, *ages, unknown)
    groups = spent("25-34", "1000.50", 900.25), spent("65+", "3.00", 103.25), spent("unknown", "7.00", 7.0)
    publish(store, AGE_GROUP_PURCHASES, BUSINESS_DATE, *groups)
    publish(store, AGE_GROUP_AFFINITY, BUSINESS_DATE, affinity("BEER", 2.0, 1.2, 2.8), affinity("TEA", 1.1, 0.9, 1.3))
    publish(store, ALCOHOL_SALE_AUDIT, BUSINESS_DATE, sale("t2", 0.5), sale("t1", 0.75))
    photos = [
        {"photo_key": key, "estimate_status": "estimated", "estimated_age_years": years}
        for key, years in (("p1", 27.0), ("p2", 65.0))
    ]
    publish(store, PHOTO_AGE_ESTIMATES, BUSINESS_DATE, *photos)
    write_catalogue(store)
    (tmp_path / "truth.csv").write_text(TRUTH)
    assert demo_results(tmp_path / "warehouse" / CATALOGUE, tmp_path / "truth.csv").split("\n\n") == [
        f"{PURCHASES_HEADER}\n|---|---|---|---|---|---|\n"
        "| 18-24 | 1,000.50 | 0.00 | 0.00 |  |  |\n"
        "| 25-34 | 0.00 | 1,000.50 | 900.25 |  |  |\n"
        "| 65+ | 3.00 | 3.00 | 103.25 |  |  |\n"
        "| unknown | 7.00 | 7.00 | 7.00 |  |  |",
        f"{AFFINITY_HEADER}\n|---|---|---|---|\n| 18-24 | BEER | 2.0 | 1.2 to 2.8 |",
        f"{SALE_HEADER}\n|---|---|---|---|\n| t1 | `challenge_age_unchecked` | P(under 18) 0.75 | 24 |",
        "On the 2 photos of this day, estimates are off by 4.0 years on average, and 1.0 years too young. "
        "To match the true column, 100% of the money of buyers with an estimate would have to move to another age "
        "group in the corrected column, and 100% in the column of point estimates. The corrected amount is the nearer "
        "one in 1 of 3 age groups; 0 of 3 intervals hold the truth.",
    ]


@pytest.fixture(scope="module")
def shown() -> list[str]:
    """The tables that README shows."""
    return part_of(README, "demo").split("\n\n")


def test_readme_shows_the_tables_of_the_demo(shown: list[str]) -> None:
    *tables, closeness = shown
    assert [table.partition("\n")[0] for table in tables] == [PURCHASES_HEADER, AFFINITY_HEADER, SALE_HEADER]
    assert re.fullmatch(r"On the \d+ photos of this day, estimates are off by \d+\.\d years on average, .*", closeness)


def test_each_column_of_readmes_purchases_adds_up_to_the_tills_log_of_the_sample_day(shown: list[str]) -> None:
    time_zone = Settings.model_fields["store_time_zone"].default
    random = np.random.default_rng([SEED, DEMO_DATE.toordinal()])  # as write_sample_day draws
    receipts = sample_receipts(completejourney_baskets(DEMO_DATE, time_zone), time_zone, random)
    in_log = sum(map(Decimal, receipts.lines["net_amount"]))
    by_truth, by_point, corrected = (sum(column) for column in zip(*amounts(shown[0]), strict=True))
    assert by_truth == by_point == in_log
    assert corrected == pytest.approx(in_log, abs=Decimal("0.05"))  # each group is rounded to the cent


def test_buyers_without_an_estimate_are_the_same_in_each_column_of_readme(shown: list[str]) -> None:
    assert [row[0] for row in cells(shown[0])][-1] == "unknown"
    assert len(set(amounts(shown[0])[-1])) == 1


def test_each_interval_of_readme_lies_around_the_corrected_amount(shown: list[str]) -> None:
    for row, (_, _, corrected) in zip(cells(shown[0])[:-1], amounts(shown[0]), strict=False):
        low, high = (Decimal(end.replace(",", "")) for end in row[4].split(" to "))
        assert low <= corrected <= high


def test_the_affinities_of_readme_lie_in_their_intervals_above_1(shown: list[str]) -> None:
    for _, _, index, interval in cells(shown[1]):
        low, high = map(float, interval.split(" to "))
        assert 1 <= low <= float(index) <= high


def test_the_sale_of_readme_has_a_status_and_its_reason(shown: list[str]) -> None:
    ((_, status, reason, true_age),) = cells(shown[2])
    assert status in ("`possibly_under_age_unchecked`", "`challenge_age_unchecked`")
    looks, low, high = map(int, re.findall(r"looks (\d+) \(90 % interval (\d+)–(\d+)\)", reason)[0])
    assert low <= looks <= high
    assert int(true_age) > 0
