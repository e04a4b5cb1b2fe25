from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.errors import InputError
from jobs.operations.month import FIRST, LAST
from jobs.operations.sample_day.sample_baskets import chain_baskets, completejourney_baskets
from jobs.operations.sample_day.sample_chain import (
    DEMO_CHAIN,
    MONTH_FILE,
    DearerPrices,
    Favourite,
    LaxCashier,
    OlderStore,
    SampleChain,
    read_chain,
)
from jobs.operations.sample_day.sample_receipts import sample_receipts

DAY = date(2026, 11, 5)
TIME_ZONE = "Europe/Moscow"
DENSE = SampleChain(store_count=2, tills_per_store=2, receipts_per_day=200, rarely_asking_cashier_of=0)


def baskets_of(chain: SampleChain, day: date = DAY) -> pd.DataFrame:
    return chain_baskets(day, TIME_ZONE, chain, np.random.default_rng([1, day.toordinal()]))


def receipts_of(chain: SampleChain, day: date = DAY) -> pd.DataFrame:
    random = np.random.default_rng([2, day.toordinal()])
    return sample_receipts(baskets_of(chain, day), TIME_ZONE, random, chain).transactions


def test_a_chain_without_a_file_has_the_receipts_of_the_day_as_they_are() -> None:
    pd.testing.assert_frame_equal(baskets_of(DEMO_CHAIN), completejourney_baskets(DAY, TIME_ZONE))
    assert list(DEMO_CHAIN.plants()) == []


def test_a_dense_chain_has_as_many_receipts_as_it_asks_for_in_its_own_stores() -> None:
    chain = SampleChain(store_count=3, receipts_per_day=150, alcohol_share=0.4)
    receipts = baskets_of(chain).groupby("transaction_id").agg({"store_id": "nunique", "is_alcohol": "any"})
    assert (len(receipts), receipts["is_alcohol"].sum(), receipts["store_id"].max()) == (150, 60, 1)
    assert baskets_of(chain).groupby("store_id")["transaction_id"].nunique().to_dict() == dict.fromkeys(
        chain.store_ids, 50
    )


def test_receipts_of_other_weeks_come_whole_at_their_time_of_the_day() -> None:
    chain = SampleChain(receipts_per_day=500, alcohol_share=0.2)
    baskets = baskets_of(chain)
    assert set(baskets["closed_at"].dt.tz_convert(TIME_ZONE).dt.date) == {DAY}
    real = pd.concat(
        [completejourney_baskets(date.fromordinal(DAY.toordinal() + 7 * week), TIME_ZONE) for week in range(5)]
    )
    numbers = [frame["transaction_id"].str.partition("-")[2] for frame in (baskets, real)]
    lines, lines_of_real = (
        number.value_counts().to_dict() for number in (numbers[0], numbers[1][numbers[1].isin(numbers[0])])
    )
    assert lines == lines_of_real


def test_more_receipts_than_a_year_has_are_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="lower receipts_per_day or alcohol_share"):
        baskets_of(SampleChain(receipts_per_day=8_000))


def test_prices_rise_from_a_date_on_and_nothing_else_does() -> None:
    chain = SampleChain(dearer_prices=DearerPrices(first_date=DAY, times=1.1))
    before, after = baskets_of(DEMO_CHAIN), baskets_of(chain)
    assert after["net_amount"].astype(float).to_numpy() == pytest.approx(
        before["net_amount"].astype(float).to_numpy() * 1.1, abs=0.0051
    )
    pd.testing.assert_frame_equal(before.drop(columns="net_amount"), after.drop(columns="net_amount"))
    day_before = date(2026, 11, 4)
    pd.testing.assert_frame_equal(baskets_of(chain, day_before), completejourney_baskets(day_before, TIME_ZONE))


def test_each_cashier_serves_at_each_till_in_a_month_so_that_they_can_be_compared() -> None:
    days = [receipts_of(DENSE, date(2026, 11, number)) for number in range(1, 9)]
    places = pd.concat(days).groupby("cashier_id")["till_id"].agg(set)
    assert set(places.index) == set(DENSE.cashier_ids)
    assert all({"01", "02"} <= tills for tills in places)


def test_a_lax_cashier_asks_less_often_and_the_others_do_not() -> None:
    chain = DENSE.model_copy(
        update={"alcohol_share": 0.5, "lax_cashier": LaxCashier(cashier_id="c0001-2", asks_times=0.3)}
    )
    days = pd.concat([receipts_of(chain, date(2026, 11, number)) for number in range(1, 7)])
    young = days[days["has_alcohol"] & (days["true_age_years"] < 25)]
    asked = (young["id_check"] != "not_asked").groupby(young["cashier_id"]).mean()
    assert asked["c0001-2"] < 0.5 < asked.drop("c0001-2").min()


def test_an_older_store_has_older_buyers() -> None:
    older = OlderStore(store_id="0002", more_with_each_year=0.04)
    receipts = receipts_of(DENSE.model_copy(update={"older_store": older}))
    ages = receipts.groupby("store_id")["true_age_years"].mean()
    assert ages["0002"] > ages["0001"] + 8


def test_young_adults_buy_their_favourite_as_often_as_planted_and_no_basket_changes() -> None:
    favourite = Favourite(product_category="SOFT DRINKS", first_age_years=18, last_age_years=24, times=3.0)
    plain = DENSE.model_copy(update={"young_adult_share": 0.2})
    liked = plain.model_copy(update={"favourite": favourite})
    pd.testing.assert_frame_equal(baskets_of(plain), baskets_of(liked))
    receipts, bought = receipts_of(liked), baskets_of(liked).query("product_category == 'SOFT DRINKS'")
    is_young = receipts["true_age_years"].between(18, 24)
    has_it = receipts["transaction_id"].isin(bought["transaction_id"])
    assert is_young[has_it].mean() / is_young.mean() == pytest.approx(3, abs=0.4)


def test_the_month_of_make_month_reads_as_a_chain_whose_dates_lie_in_it() -> None:
    chain = read_chain(MONTH_FILE)
    assert [plant.cashier_id for plant in chain.plants() if plant.cashier_id] == ["c0001-2"]
    assert len(list(chain.plants())) == 5
    assert chain.dark_till
    assert FIRST < chain.dark_till.first_date < LAST
    assert chain.dearer_prices
    assert FIRST < chain.dearer_prices.first_date < LAST
    assert chain.dark_till_on(FIRST) is None
    assert chain.dark_till_on(LAST) == ("0003", "01")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stores = 3", "field 'stores' that no chain has"),
        ('store_count = "many"', "'store_count' = 'many'"),
        ("alcohol_share = 0.3", "alcohol_share needs receipts_per_day"),
        ('store_count = 2\n[older_store]\nstore_id = "0007"\nmore_with_each_year = 0.03', "store '0007' is none of"),
        ("[lax_cashier]\nasks_times = 0.5", "'lax_cashier.cashier_id' is missing"),
        ("store_count = ", "is not TOML"),
    ],
)
def test_a_chain_file_that_means_nothing_is_refused_by_the_name_of_what_is_wrong(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "chain.toml").write_text(text)
    with pytest.raises(InputError, match="chain file") as refused:
        read_chain(tmp_path / "chain.toml")
    assert told in str(refused.value)


def test_a_chain_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.toml. cannot be read"):
        read_chain(tmp_path / "gone.toml")
