from typing import Any

import pytest

from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.schemas.landed import PHOTO_AGE_ESTIMATES, PHOTO_COVERAGE
from jobs.settings import Settings
from jobs.steps.rules.night_rules import RULES
from tests.given.broken_nights import BROKEN_NIGHTS, SCHEMA_RULE, UNUSUAL_DAYS, WORRYING_NIGHTS
from tests.given.sound_night import COVERAGE, USUAL_DAY, USUAL_DAYS, broken, results


def test_a_sound_night_breaks_no_rule(settings: Settings) -> None:
    assert [result for result in results(settings, {}).values() if result.is_broken is not False] == []


def camera(till_id: str, photo_count: int, **faults: int) -> dict[str, Any]:
    """The photo coverage of a till in one hour."""
    unusable = sum(faults.values())
    return {
        **{"store_id": "0042", "till_id": till_id, "hour": 12},
        **{"transaction_count": 0, "with_usable_face_count": 0, "reasons": []},
        **{"photo_count": photo_count, "usable_photo_count": photo_count - unusable},
        **{"matched_photo_count": 0, "unmatched_photo_count": photo_count},
        "unusable_photo_reasons": list(faults.items()),
    }


def test_a_till_whose_camera_spoils_faces_is_named_with_the_fault(settings: Settings) -> None:
    coverage = [
        camera("01", 19, face_too_dark=19),
        camera("02", 20, face_too_dark=5, face_low_contrast=1),
        camera("03", 12, face_too_dark=5),
        camera("03", 8, face_too_dark=1, face_low_contrast=1) | {"hour": 13},
        camera("04", 40, no_face=40),
        camera("05", 30, face_distorted=28, face_too_blurred=2),
    ]
    rule = results(settings, {PHOTO_COVERAGE: coverage})["each till's camera shows faces well"]
    assert (rule.severity, rule.is_broken) == ("warn", True)
    assert rule.findings == [
        "till 0042/03: of 20 photos 6 face_too_dark, 1 face_low_contrast; check the camera and the light",
        "till 0042/05: of 30 photos 28 face_distorted, 2 face_too_blurred; if the camera squashes its photos, set "
        "CHECKOUT_AGES_PHOTO_STRETCH",
    ]
    insisted = settings.model_copy(update={"max_unfit_photo_share_warning": 1.0})
    assert not results(insisted, {PHOTO_COVERAGE: coverage})["each till's camera shows faces well"].is_broken


OTHER_RULES = {
    "a day that is out is not replaced by a much smaller one",
    "a receipt is of one business date",
}


@pytest.mark.parametrize("rule", BROKEN_NIGHTS)
def test_a_fail_rule_finds_what_it_is_for(settings: Settings, rule: str) -> None:
    assert rule in broken(results(settings, BROKEN_NIGHTS[rule]), "fail")


@pytest.mark.parametrize("rule", WORRYING_NIGHTS)
def test_a_warn_rule_finds_what_it_is_for_and_fails_nothing(settings: Settings, rule: str) -> None:
    found = results(settings, WORRYING_NIGHTS[rule])
    assert broken(found, "fail") == []
    assert rule in broken(found, "warn")
    assert found[rule].findings


def test_every_rule_has_a_night_that_breaks_it() -> None:
    assert {rule.name for rule in RULES} == {*BROKEN_NIGHTS, *WORRYING_NIGHTS, *UNUSUAL_DAYS, *OTHER_RULES, SCHEMA_RULE}


@pytest.mark.parametrize("rule", UNUSUAL_DAYS)
def test_a_day_unlike_the_days_before_is_published_with_a_warning(settings: Settings, rule: str) -> None:
    usual, transaction_ages, words = UNUSUAL_DAYS[rule]
    matched = sum(len(row["photo_keys"]) for row in transaction_ages)
    coverage = COVERAGE | {"matched_photo_count": matched, "unmatched_photo_count": 2 - matched}
    changed = {TRANSACTION_AGES: transaction_ages, PHOTO_COVERAGE: [coverage]}
    found = results(settings, changed, [USUAL_DAY | usual] * 7)
    assert broken(found, "fail") == []
    assert (found[rule].is_broken, found[rule].findings) == (True, [words])
    assert found[rule].measured_value > found[rule].limit_value


@pytest.mark.parametrize("rule", UNUSUAL_DAYS)
def test_one_strange_day_among_those_before_changes_nothing(settings: Settings, rule: str) -> None:
    strange = USUAL_DAY | UNUSUAL_DAYS[rule][0]
    assert results(settings, {}, [*USUAL_DAYS, strange])[rule].is_broken is False


@pytest.mark.parametrize("rule", UNUSUAL_DAYS)
def test_with_fewer_than_seven_days_before_a_day_is_compared_with_none(settings: Settings, rule: str) -> None:
    result = results(settings, {}, USUAL_DAYS[1:])[rule]
    assert (result.is_broken, result.findings, result.measured_value) == (None, [], None)
    assert result.not_run_reason.startswith("6 of the 28 days before are published")


def test_ages_are_compared_with_days_of_the_same_model_only(settings: Settings) -> None:
    other_model = [USUAL_DAY | {"model_version": "age_resnet50-3", "mean_estimated_age_years": 50.0}] * 7
    found = results(settings, {}, other_model)
    assert (
        found["the mean estimated age is the usual one"].not_run_reason
        == "0 of the 28 days before are published with this age model; 7 are needed"
    )
    assert found["there are about as many transactions as usual"].is_broken is False


def test_a_single_photo_that_the_store_does_not_hand_out_is_a_row_and_stops_no_night(settings: Settings) -> None:
    rule = "the store hands out the photos that it listed"
    one, other = BROKEN_NIGHTS[rule][PHOTO_AGE_ESTIMATES]
    assert results(settings, {PHOTO_AGE_ESTIMATES: [one]})[rule].is_broken is False
    assert results(settings, {PHOTO_AGE_ESTIMATES: [one, other]})[rule].is_broken is True
    missing = [{"photo_key": key, "estimate_status": "missing", "estimate_reason": "it is not there"} for key in "ab"]
    assert results(settings, {PHOTO_AGE_ESTIMATES: missing})[rule].measured_value == 0


def test_a_rule_of_a_figure_tells_the_figure_and_its_limit_also_while_it_holds(settings: Settings) -> None:
    result = results(settings, {})["most transactions have an age estimate"]
    assert (result.is_broken, result.measured_value, result.limit_value) == (False, 0.0, 0.5)
