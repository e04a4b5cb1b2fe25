"""cashier_alcohol_audit: how often a cashier asks for an ID, compared with colleagues who serve similar buyers.

Nobody knows whom a cashier should have asked: estimates err by years, more with a bad camera, and in some stores they
are too young or too old for all buyers. So a cashier is compared only with others of the same store, till and hours,
and only on buyers with P(under the challenge age) in the same band. Such a group of sales is a stratum. If all
cashiers ask alike, chance alone decides which cashiers of a stratum have the buyers who were asked, whatever the
camera, the buyers and the habits of the store are (Mantel and Haenszel 1959). Each sale is weighted by P(under the
challenge age), because a cashier who asks too few young buyers differs from others on these only.

1. Mean, variance and skewness of the weighted number asked are taken over all ways to spread it. The Pearson III curve
   with these three moments gives the tail probability (Mielke and Berry 2007).
2. Habits differ without anyone's fault. Winsorised z-scores, which keep an outlier from hiding itself, show how much
   cashiers differ beyond chance. This is added to the variance (Spiegelhalter 2005, Handling over-dispersion of
   performance indicators).
3. q-values are computed over all cashiers who are judged (Benjamini and Hochberg 1995).

No row says that anyone did wrong. A store where nobody asks does not show here, but in its counts of asked and not
asked buyers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from jobs.schemas.alcohol import CASHIER_ALCOHOL_AUDIT, CASHIER_ALCOHOL_DAYS
from jobs.settings import Settings
from jobs.warehouse.warehouse import Warehouse

Floats = NDArray[np.float64]

KEY = list(CASHIER_ALCOHOL_AUDIT.key)
COLUMNS = CASHIER_ALCOHOL_DAYS.column_names
INTERVAL = 0.90
HOURS_ALIKE = 2
"""Hours that are compared together, counted from midnight. Fewer leave too few cases in each stratum."""
WINSORISED_SHARE = 0.10
"""Share of the z-scores at either end that is pulled in to the quantile there. With less, an outlier hides itself."""
FEWEST_CASHIERS = 20
"""With fewer cashiers, differing habits cannot be told from one cashier who stands out."""

SUMS = """
SELECT store_id, cashier_id,
    sum(sale_count)::BIGINT AS sale_count,
    sum(refused_count)::BIGINT AS refused_count,
    sum(estimated_sale_count)::BIGINT AS estimated_sale_count,
    sum(check_not_logged_count)::BIGINT AS check_not_logged_count,
    sum(under_legal_age_unchecked_count) AS under_legal_age_unchecked_count,
    sum(under_legal_age_unchecked_variance) AS under_legal_age_unchecked_variance,
    sum(asked_count) AS asked_count,
    sum(not_asked_count) AS not_asked_count
FROM days GROUP BY ALL
"""

COMPARISONS = """
WITH own AS (
    SELECT store_id, cashier_id, stratum.till_id, stratum.probability_band,
        stratum.hour // $hours_alike AS hours,
        sum(stratum.case_count)::DOUBLE AS cases,
        sum(stratum.asked_count)::DOUBLE AS asked,
        sum(stratum.under_challenge_age_count) AS young
    FROM (SELECT store_id, cashier_id, unnest(strata) AS stratum FROM days) GROUP BY ALL
),
beside_others AS (
    SELECT *, sum(cases) OVER stratum AS all_cases, sum(asked) OVER stratum AS all_asked,
        sum(young) OVER stratum / all_cases AS weight
    FROM own WINDOW stratum AS (PARTITION BY store_id, till_id, hours, probability_band)
),
spread AS (
    SELECT *, all_cases - cases AS others_cases, all_cases - all_asked AS all_not_asked,
        cases * all_asked / all_cases AS mean_asked,
        mean_asked * others_cases * all_not_asked / (all_cases * (all_cases - 1)) AS variance_asked,
        (all_cases - 2 * cases) * (all_not_asked - all_asked) / nullif(all_cases * (all_cases - 2), 0) AS asymmetry
    FROM beside_others WHERE all_cases > cases
)
SELECT store_id, cashier_id,
    sum(young) AS compared_count,
    sum(weight * asked) / sum(weight * cases) AS compared_asked_share,
    sum(weight * cases * (all_asked - asked) / others_cases) / sum(weight * cases) AS expected_asked_share,
    sum(weight * (asked - mean_asked)) AS score,
    sum(weight ** 2 * variance_asked) AS variance,
    sum(weight ** 3 * variance_asked * coalesce(asymmetry, 0)) AS third_moment,
    sum(weight ** 2 * cases * others_cases / all_cases) AS information
FROM spread GROUP BY ALL
"""


@dataclass(frozen=True)
class CashierReview:
    """The settings by which cashiers are judged."""

    challenge_age_years: int
    minimum_compared_count: float
    review_q_value: float


def run(warehouse: Warehouse, business_date: date, settings: Settings) -> None:
    days = warehouse.published.read_days(CASHIER_ALCOHOL_DAYS, settings.window(business_date), COLUMNS)
    audit = cashier_alcohol_audit(days, settings.part(CashierReview))
    audit["window_first_date"] = settings.window(business_date)[0]
    rows = pa.Table.from_pandas(audit, CASHIER_ALCOHOL_AUDIT.schema_without("run_id"), preserve_index=False)
    warehouse.stage_arrow(CASHIER_ALCOHOL_AUDIT, business_date, rows)


def cashier_alcohol_audit(days: Mapping[date, pa.Table], review: CashierReview) -> pd.DataFrame:
    """Return one row per cashier of the days, by key: the table's columns but window_first_date and run_id.

    `days` holds rows of cashier_alcohol_days by business date, for at least one day. The sums behind the columns are
    returned too: `score`, its `variance` and `third_moment` if all cashiers ask alike, and `information`: how much the
    score rises if the cashier asks every buyer under the challenge age and the others ask none of them.
    """
    # By date, because model_versions and run_ids below are listed in order of appearance.
    rows = pa.concat_tables([days[day] for day in sorted(days)])
    with duckdb.connect() as connection:
        connection.register("days", rows)
        sums = connection.sql(SUMS).df()
        comparisons = connection.sql(COMPARISONS, params={"hours_alike": HOURS_ALIKE}).df()
    # Left join: a cashier whom nobody can be compared with keeps a row, with the reason.
    audit = sums.merge(comparisons, on=KEY, how="left", validate="one_to_one").sort_values(KEY, ignore_index=True)
    audit["compared_count"] = audit["compared_count"].fillna(0.0)
    audit = audit.join(_unchecked_interval(audit)).join(_judgement(audit, review))
    reasons = [_review_reason(cashier, review) for cashier in audit.to_dict("records")]
    audit["review_reason"] = pd.Series(reasons, audit.index, dtype=object)
    audit["day_count"] = len(days)
    for column, named in (("model_versions", "model_version"), ("run_ids", "run_id")):
        names = rows[named].unique().to_pylist()
        audit[column] = pd.Series([names] * len(audit), audit.index, dtype=object)
    return audit


def interval_of_expected_count(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return both ends of the 90 % interval of a count of events with different probabilities.

    The count is taken as binomial with the same mean and nearly the same variance (Ehm 1991).
    """
    # A binomial with mean m and variance v has m² / (m - v) trials, and at least m. The floor is for rare events, where
    # m - v is almost 0.
    trials = np.maximum(1, np.ceil(np.maximum(mean, mean**2 / np.maximum(mean - variance, 1e-9))))
    tail = (1 - INTERVAL) / 2
    low, high = (stats.binom.ppf(share, trials, mean / trials) for share in (tail, 1 - tail))
    return np.maximum(low, 0.0), high


def between_cashiers_variance(differences: Floats, standard_errors: Floats) -> float:
    """Return the variance of cashiers' differences that their standard errors do not explain; 0 if chance explains all.

    Winsorising also lowers the variance of standard normal z-scores, so the result is divided by theirs. With fewer
    than FEWEST_CASHIERS it is 0.
    """
    if len(differences) < FEWEST_CASHIERS:
        return 0.0
    z_scores = differences / standard_errors
    ends = np.quantile(z_scores, [WINSORISED_SHARE, 1 - WINSORISED_SHARE])
    dispersion = np.mean(np.clip(z_scores, *ends) ** 2) / _winsorised_normal_variance()
    return float(max(0.0, (dispersion - 1) * len(z_scores) / np.sum(standard_errors**-2)))


def _winsorised_normal_variance() -> float:
    end = stats.norm.isf(WINSORISED_SHARE)
    return float(1 - 2 * WINSORISED_SHARE - 2 * end * stats.norm.pdf(end) + 2 * WINSORISED_SHARE * end**2)


def _unchecked_interval(audit: pd.DataFrame) -> pd.DataFrame:
    mean, variance = (audit[f"under_legal_age_unchecked_{kind}"].to_numpy() for kind in ("count", "variance"))
    low, high = interval_of_expected_count(mean, variance)
    names = ("under_legal_age_unchecked_count_low", "under_legal_age_unchecked_count_high")
    return pd.DataFrame(dict(zip(names, (low, high), strict=True)), audit.index)


def _judgement(audit: pd.DataFrame, review: CashierReview) -> pd.DataFrame:
    """Return differences with intervals, p- and q-values and priorities; null for cashiers who cannot be judged."""
    # No variance means that in every stratum all buyers were asked, or none: there is nothing to compare.
    judged = audit[(audit["compared_count"] >= review.minimum_compared_count) & (audit["variance"] > 0)]
    score, information = judged["score"].to_numpy(), judged["information"].to_numpy()
    variance, third_moment = judged["variance"].to_numpy(), judged["third_moment"].to_numpy()
    between = between_cashiers_variance(score / information, np.sqrt(variance) / information)
    deviation = np.sqrt(variance + between * information**2)
    # One-sided on purpose: only cashiers who ask less often than chance explains are looked at.
    p_value = stats.pearson3.cdf(score / deviation, third_moment / deviation**3)
    difference, half_width = score / information, stats.norm.isf((1 - INTERVAL) / 2) * deviation / information
    judgement = pd.DataFrame(
        {
            "asked_share_difference": difference,
            "asked_share_difference_low": difference - half_width,
            "asked_share_difference_high": difference + half_width,
            "p_value": p_value,
            "q_value": stats.false_discovery_control(p_value, method="bh"),
        },
        judged.index,
    )
    to_be_looked_at = judgement["p_value"].where(judgement["q_value"] <= review.review_q_value)
    # Ties are ranked in order of the key, so that every run gives the same priorities.
    judgement["review_priority"] = to_be_looked_at.rank(method="first").astype("Int64")
    return judgement.reindex(audit.index).assign(between_cashiers_deviation=np.sqrt(between))


def _review_reason(cashier: Mapping[Hashable, Any], review: CashierReview) -> str:
    compared = f"{cashier['compared_count']:.0f} expected buyers under {review.challenge_age_years}"
    if cashier["compared_count"] < review.minimum_compared_count:
        return (
            f"too few sales to judge: {compared} at tills and in hours where another cashier served such buyers too; "
            f"{review.minimum_compared_count:g} are needed"
        )
    if pd.isna(cashier["p_value"]):
        return f"nothing to compare: all cashiers asked all of {compared} for an ID, or none"
    figures = (
        f"asked {cashier['compared_asked_share']:.0%} where others at the same till and hours asked "
        f"{cashier['expected_asked_share']:.0%}, {compared}, q {cashier['q_value']:.2g}"
    )
    if pd.isna(cashier["review_priority"]):
        return f"no reason to look: {figures}"
    return f"asked less often than chance explains; a person should look at the sales: {figures}"
