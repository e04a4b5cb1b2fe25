"""Money of age groups next to the truth: its intervals are those of the estimate, made once for all that was bought."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import numpy as np
import pandas as pd
import pytest

from jobs.ages.age_mix_estimation import columns_of
from jobs.ages.shift_calibration import shift_calibration
from jobs.operations.demo_money import GROUPS, GroupMoney, money_in_words, money_of_groups
from jobs.schemas.buyers import AGE_GROUP_PURCHASES, AGE_MIXES, TRANSACTION_AGES
from jobs.schemas.landed import TRANSACTION_LINES
from jobs.warehouse.catalogue import CATALOGUE, write_catalogue
from jobs.warehouse.object_store import ObjectStore
from tests.given.catalogued_tables import publish
from tests.given.rows import BUSINESS_DATE
from tests.given.simulated_buyers import BOUNDS, buyer_groups_of, groups_of, seen

BUYERS = 300
MODEL_VERSION = "age_resnet50-4"


@pytest.fixture(scope="module")
def money(tmp_path_factory: pytest.TempPathFactory) -> list[GroupMoney]:
    """The money of buyers of 18 to 80 who spend 5 to 15 each, as `age_group_purchases` would estimate it in one row."""
    folder = tmp_path_factory.mktemp("money")
    random = np.random.default_rng(4)
    ages, spent = random.integers(18, 81, BUYERS), random.integers(500, 1500, BUYERS)
    distributions = seen(ages, random)
    _, _, everyone, _ = buyer_groups_of(distributions, shift_calibration(MODEL_VERSION), 1)
    key = [{"store_id": "0042", "till_id": "03", "transaction_id": f"t{number}"} for number in range(BUYERS)]
    groups = [GROUPS[group] for group in groups_of(ages)]
    store = ObjectStore((folder / "warehouse").as_uri())
    lines = [
        row | {"line_number": 1, "net_amount": Decimal(int(cents)).scaleb(-2)}
        for row, cents in zip(key, spent, strict=True)
    ]
    aged = [
        row | {"age_group": group, "age_distribution": distribution.tolist(), "model_version": MODEL_VERSION}
        for row, group, distribution in zip(key, groups, distributions, strict=True)
    ]
    shares = [everyone.shares[low:high].sum() for low, high in zip(BOUNDS, [*BOUNDS[1:], 101], strict=True)]
    bought = [
        {"store_id": "0042", "product_category": "TEA", "currency": "USD", "age_group": name}
        | {"net_amount": Decimal(1), "estimated_net_amount": share * spent.sum() / 100}
        for name, share in zip(GROUPS, shares, strict=True)
    ]
    publish(store, TRANSACTION_LINES, BUSINESS_DATE, *lines)
    publish(store, TRANSACTION_AGES, BUSINESS_DATE, *aged)
    publish(store, AGE_MIXES, BUSINESS_DATE, {"circle": "all", "product_category": ""} | columns_of(everyone))
    publish(store, AGE_GROUP_PURCHASES, BUSINESS_DATE, *bought)
    write_catalogue(store)
    truth = pd.DataFrame(key).assign(kind="transaction", true_age_years=ages)
    truth.to_csv(folder / "truth.csv", index=False)
    with duckdb.connect(folder / "warehouse" / CATALOGUE, read_only=True) as connection:
        return money_of_groups(connection, folder / "truth.csv")


def test_the_true_money_of_the_groups_adds_up_to_what_was_spent(money: list[GroupMoney]) -> None:
    assert [row.age_group for row in money] == GROUPS
    assert sum(row.true for row in money) == pytest.approx(sum(row.corrected for row in money))


def test_most_intervals_hold_the_truth_and_none_is_as_wide_as_all_the_money(money: list[GroupMoney]) -> None:
    assert sum(row.holds for row in money) >= 5
    total = sum(row.true for row in money)
    assert all(row.margin is not None and 0 < row.margin < 0.2 * total for row in money)


def test_the_nearer_of_two_estimates_and_the_intervals_that_hold_are_counted() -> None:
    rows = [
        GroupMoney("18-24", true=100, plain=50, corrected=90, margin=20),
        GroupMoney("25-34", true=100, plain=150, corrected=170, margin=30),
        GroupMoney("unknown", true=7, plain=7, corrected=7),
    ]
    assert [row.in_words()[-2:] for row in rows] == [
        ("70 to 110", "corrected"),
        ("140 to 200", "point estimates"),
        ("", ""),
    ]
    assert money_in_words(rows) == (
        "To match the true column, 20% of the money of buyers with an estimate would have to move to another age group "
        "in the corrected column, and 25% in the column of point estimates. The corrected amount is the nearer one in "
        "1 of 2 age groups; 1 of 2 intervals hold the truth."
    )
