from typing import Any

import duckdb
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE
from jobs.tables.photo_coverage import photo_coverage
from tests.given.duckdb_rows import rows_in_duckdb
from tests.given.rows import arrow_rows, at

TILL = {"store_id": "0042", "till_id": "03"}
ESTIMATED = {"estimate_status": "estimated", "photo_count": 1, "usable_photo_count": 1}


def photo(key: str, clock: str | None, status: str = "estimated", **given: Any) -> dict[str, Any]:
    return TILL | {"photo_key": key, "taken_at": clock and at(clock), "estimate_status": status} | given


def transaction(transaction_id: str, clock: str, *photo_keys: str, **given: Any) -> dict[str, Any]:
    return (
        TILL
        | {"transaction_id": transaction_id, "closed_at": at(clock), "photo_keys": list(photo_keys)}
        | {"estimate_status": "no_photo", "photo_count": len(photo_keys), "usable_photo_count": 0}
        | given
    )


def coverage_of(
    photos: list[dict[str, Any]], transactions: list[dict[str, Any]], time_zone: str = "Europe/Moscow"
) -> list[dict[str, Any]]:
    rows = {
        CHECKOUT_PHOTOS: arrow_rows(CHECKOUT_PHOTOS, *photos),
        PHOTO_AGE_ESTIMATES: arrow_rows(PHOTO_AGE_ESTIMATES, *photos),
        TRANSACTION_AGES: arrow_rows(TRANSACTION_AGES, *transactions),
    }
    with rows_in_duckdb(rows) as connection:
        coverage = photo_coverage(connection, time_zone)
    names = [name for name in PHOTO_COVERAGE.column_names if name not in ("model_version", "run_id")]
    rows_of_days = coverage.sort_by([(name, "ascending") for name in PHOTO_COVERAGE.key]).select(names).to_pylist()
    return [
        row | {"reasons": dict(row["reasons"]), "unusable_photo_reasons": dict(row["unusable_photo_reasons"])}
        for row in rows_of_days
    ]


def test_transactions_and_photos_are_counted_by_till_and_hour_with_the_reasons_of_the_rest() -> None:
    photos = [
        photo("a", "09:10:00"),
        photo("b", "09:20:00", "no_face"),
        photo("c", "09:30:00", "empty"),
        photo("nobody", "09:40:00", "no_face"),
    ]
    transactions = [
        transaction("t1", "09:10:30", "a", **ESTIMATED),
        transaction("t2", "09:20:30", "b", "c", estimate_status="no_usable_photo"),
        transaction("t3", "09:50:00"),
        transaction("t4", "09:51:00"),
    ]
    assert [tuple(row.values()) for row in coverage_of(photos, transactions)] == [
        ("0042", "03", 12, 4, 2, 1, 4, 1, 3, 1, {"no_photo": 2, "no_usable_photo": 1}, {"empty": 1, "no_face": 2}),
    ]


def test_an_hour_is_that_of_the_stores_and_a_photo_keeps_its_own() -> None:
    rows = coverage_of([photo("a", "22:59:50")], [transaction("t1", "23:00:10", "a", **ESTIMATED)], "Europe/Berlin")
    assert [
        (row["hour"], row["transaction_count"], row["photo_count"], row["matched_photo_count"]) for row in rows
    ] == [
        (0, 1, 0, 0),
        (23, 0, 1, 1),
    ]


def test_a_photo_whose_key_says_nothing_counts_under_unknown() -> None:
    lost = photo("junk", None, "unreadable_key", store_id=None, till_id=None, key_problem="photo key 'junk' does …")
    (row,) = coverage_of([lost], [])
    assert (row["store_id"], row["till_id"], row["hour"]) == ("unknown", "unknown", -1)
    assert (row["photo_count"], row["unmatched_photo_count"], row["unusable_photo_reasons"]) == (
        1,
        1,
        {"unreadable_key": 1},
    )
    assert (row["transaction_count"], row["reasons"]) == (0, {})


CLOCKS = st.sampled_from(["05:59:59", "06:00:00", "20:59:59", "21:00:00"])
TILLS = st.sampled_from(["03", "04"])
PHOTOS = st.lists(st.tuples(CLOCKS, TILLS, st.sampled_from(["estimated", "no_face", "empty"]), st.booleans()))


@hypothesis_settings(
    max_examples=5,
    deadline=None,
)
@given(drawn=PHOTOS)
def test_sums_equal_the_photos_and_the_transactions(drawn: list[tuple[str, str, str, bool]]) -> None:
    """DuckDB counts the same without hours and tills; each drawn photo has a transaction, matched or not."""
    photos = [photo(f"p{n}", clock, status, till_id=till) for n, (clock, till, status, _) in enumerate(drawn)]
    transactions = [
        transaction(f"t{n}", clock, *([f"p{n}"] if is_matched else []), till_id=till)
        | (ESTIMATED if is_matched and status == "estimated" else {})
        for n, (clock, till, status, is_matched) in enumerate(drawn)
    ]
    rows = coverage_of(photos, transactions)
    assert all(row["matched_photo_count"] + row["unmatched_photo_count"] == row["photo_count"] for row in rows)
    assert all(sum(row["reasons"].values()) == row["transaction_count"] - row["with_usable_face_count"] for row in rows)
    assert all(
        sum(row["unusable_photo_reasons"].values()) == row["photo_count"] - row["usable_photo_count"] for row in rows
    )
    names = ("transaction_count", "photo_count", "usable_photo_count", "matched_photo_count")
    summed = tuple(sum(row[name] for row in rows) for name in names)
    assert summed == totals(photos, transactions)


def totals(photos: list[dict[str, Any]], transactions: list[dict[str, Any]]) -> tuple[int, ...]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE photos (photo_key TEXT, estimate_status TEXT)")
        connection.execute("CREATE TABLE matches (transaction_id TEXT, photo_key TEXT)")
        for row in photos:
            connection.execute("INSERT INTO photos VALUES (?, ?)", [row["photo_key"], row["estimate_status"]])
        for row in transactions:
            key = next(iter(row["photo_keys"]), None)
            connection.execute("INSERT INTO matches VALUES (?, ?)", [row["transaction_id"], key])
        counted = connection.sql("""
            SELECT (SELECT count(*) FROM matches), count(*), count(*) FILTER (estimate_status = 'estimated'),
                (SELECT count(*) FROM matches SEMI JOIN photos USING (photo_key))
            FROM photos
        """).fetchone()
    assert counted is not None
    return counted
