from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from jobs.ages.age_mix_estimation import BuyerGroupMix, columns_of
from jobs.schemas.buyers import AGE_MIXES
from jobs.settings import Settings
from jobs.tables.age_group_affinity import AffinityLimits, age_group_affinity
from tests.given.ages import BOUNDS
from tests.given.rows import arrow_rows

GROUPS = ["0-17", "18-24", "25-34", "35-44", "45-54", "55-64", "65+"]
EVERYONE = [0.02, 0.08, 0.2, 0.2, 0.2, 0.2, 0.1]


def shares_by_year(group_shares: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Spread the share of each group evenly over its years."""
    widths = np.diff([*BOUNDS, 101])
    return np.repeat(np.asarray(group_shares) / widths, widths)


def mix(circle: str, product_category: str, transaction_count: int, *group_shares: Sequence[float]) -> dict[str, Any]:
    """A row of age_mixes; the first shares are the estimate, the others are resampled."""
    shares = np.stack([shares_by_year(each) for each in group_shares])
    row = columns_of(BuyerGroupMix(transaction_count, shares[0], shares[0], shares, shares))
    return {"circle": circle, "product_category": product_category} | row


Affinities = dict[tuple[str, str], dict[str, Any]]


def affinities_of(settings: Settings, *mixes: dict[str, Any]) -> Affinities:
    affinities = age_group_affinity(arrow_rows(AGE_MIXES, *mixes), settings.part(AffinityLimits))
    return {(row["product_category"], row["age_group"]): row for row in affinities.to_pylist()}


def test_the_index_is_the_share_of_the_group_over_the_share_of_everyone(settings: Settings) -> None:
    cola = [0.02, 0.24, 0.2, 0.18, 0.16, 0.12, 0.08]
    more, less = [0.02, 0.32, *cola[2:]], [0.02, 0.16, *cola[2:]]
    mixes = [mix("all", "", 1000, EVERYONE, EVERYONE, EVERYONE), mix("product_category", "COLA", 100, cola, more, less)]
    affinities = affinities_of(settings, *mixes, mix("alcohol", "", 100, EVERYONE))
    assert list(affinities) == [("COLA", group) for group in GROUPS]
    young = affinities["COLA", "18-24"]
    assert young["estimated_group_transaction_count"] == pytest.approx(80)
    assert young["estimated_category_transaction_count"] == pytest.approx(24)
    assert (young["transaction_count"], young["all_buyers_share"]) == (100, 0.1)
    assert young["estimated_group_share"] == pytest.approx(0.3)
    assert young["affinity_index"] == pytest.approx(3)
    assert 1 < young["affinity_index_low"] < 3 < young["affinity_index_high"]
    assert affinities["COLA", "25-34"]["affinity_index"] == pytest.approx(1)


def test_a_few_transactions_give_no_index_but_a_reason(settings: Settings) -> None:
    mixes = [
        mix("all", "", 1000, EVERYONE),
        mix("product_category", "COLA", 29, EVERYONE),
        mix("product_category", "MILK", 30, EVERYONE),
    ]
    affinities = affinities_of(settings, *mixes)
    assert {affinities["COLA", group]["affinity_reason"] for group in GROUPS} == {
        "fewer than 30 transactions with the category"
    }
    assert affinities["MILK", "0-17"]["affinity_reason"] == "fewer than 30 transactions of the age group"
    assert affinities["MILK", "18-24"]["affinity_reason"] is None
    assert all((row["affinity_index"] is None) == (row["affinity_reason"] is not None) for row in affinities.values())
    assert affinities["COLA", "65+"]["estimated_category_transaction_count"] == pytest.approx(2.9)


def test_under_a_minimum_cell_count_what_is_shown_follows_from_rounded_counts(settings: Settings) -> None:
    cola = [0.001, 0.24, 0.2, 0.18, 0.16, 0.12, 0.099]
    mixes = [mix("all", "", 1003, EVERYONE), mix("product_category", "COLA", 1001, cola)]
    asked = settings.model_copy(update={"minimum_cell_count": 10, "minimum_affinity_transaction_count": 10})
    rows = pd.DataFrame(list(affinities_of(asked, *mixes).values())).set_index("age_group")
    child = rows.loc["0-17"]
    assert child["affinity_reason"] == "fewer than 10 transactions of the age group with the category"
    assert child[["estimated_category_transaction_count", "estimated_group_share", "affinity_index"]].isna().all()
    counts = rows[["estimated_group_transaction_count", "estimated_category_transaction_count", "transaction_count"]]
    assert (counts.stack() % 10 == 0).all()
    young = rows.loc["18-24"]
    assert young["affinity_index"] == pytest.approx((240 / 80) / (1000 / 1000))
    assert young["affinity_index_low"] <= young["affinity_index"] <= young["affinity_index_high"]


def test_a_day_without_an_estimate_has_no_affinity(settings: Settings) -> None:
    assert affinities_of(settings) == {}
