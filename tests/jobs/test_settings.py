import pytest

from jobs.errors import InputError
from jobs.settings import Settings, read_settings

URIS = {"CHECKOUT_AGES_LANDING_URI": "s3://b/landing", "CHECKOUT_AGES_WAREHOUSE_URI": "file:///w"}


def test_settings_come_from_the_environment_and_flags_win() -> None:
    settings = read_settings(URIS | {"CHECKOUT_AGES_CHALLENGE_AGE_YEARS": "30"}, landing_uri="s3://other/")
    assert (settings.landing_uri, settings.challenge_age_years) == ("s3://other", 30)


def test_a_plain_path_is_taken_as_a_local_folder() -> None:
    assert read_settings({}, landing_uri="/data/in", warehouse_uri="/data/out").landing_uri == "file:///data/in"


def test_age_groups_are_a_list_of_first_years() -> None:
    settings = read_settings(URIS | {"CHECKOUT_AGES_AGE_GROUP_LOWER_BOUNDS_YEARS": "0, 18, 65"})
    assert settings.age_group_lower_bounds_years == (0, 18, 65)


def test_clock_skews_are_seconds_by_store_and_till() -> None:
    settings = read_settings(URIS | {"CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS": "0042/03=12, 0042/04=-7.5"})
    assert settings.till_clock_skew_seconds == {"0042/03": 12.0, "0042/04": -7.5}
    assert read_settings(URIS).till_clock_skew_seconds == {}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "no landing uri: set CHECKOUT_AGES_LANDING_URI or pass --landing-uri"),
        (
            {"CHECKOUT_AGES_LANDING_URL": "x"},
            "unknown setting CHECKOUT_AGES_LANDING_URL; did you mean CHECKOUT_AGES_LANDING_URI?",
        ),
        (
            {"CHECKOUT_AGES_CHALLENGE_AGE_YEARS": "old"},
            "setting CHECKOUT_AGES_CHALLENGE_AGE_YEARS = 'old' is not usable",
        ),
        (
            {"CHECKOUT_AGES_LEGAL_PURCHASE_AGE_YEARS": "30"},
            "setting CHECKOUT_AGES_CHALLENGE_AGE_YEARS = '25' is not usable: it lies under the legal age, 30",
        ),
        (
            {"CHECKOUT_AGES_UNDER_LEGAL_AGE_ALERT_PROBABILITY": "50"},
            "setting CHECKOUT_AGES_UNDER_LEGAL_AGE_ALERT_PROBABILITY = '50' is not usable: Input should be less than",
        ),
        (
            {"CHECKOUT_AGES_REVIEW_CASE_MINIMUM_PROBABILITY": "0"},
            "setting CHECKOUT_AGES_REVIEW_CASE_MINIMUM_PROBABILITY = '0' is not usable",
        ),
        ({"CHECKOUT_AGES_REVIEW_CASE_LIMIT": "-1"}, "setting CHECKOUT_AGES_REVIEW_CASE_LIMIT = '-1' is not usable"),
        ({"CHECKOUT_AGES_STORE_TIME_ZONE": "Moscow"}, "no time zone 'Moscow'; use a name such as Europe/Moscow"),
        ({"CHECKOUT_AGES_PHOTO_KEY_TEMPLATE": "{store_id}/{taken_at}"}, "lacks ['till_id']"),
        (
            {"CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS": "0042-03=12"},
            "= '0042-03=12' is not usable: '0042-03=12' is not STORE/TILL=SECONDS, as in 0042/03=12",
        ),
        ({"CHECKOUT_AGES_TILL_CLOCK_SKEW_SECONDS": "0042/03=12,0042/03=7"}, "it names till 0042/03 twice"),
        ({"CHECKOUT_AGES_AGE_GROUP_LOWER_BOUNDS_YEARS": "18,25"}, "must begin at 0 and rise, as in 0,18,25"),
    ],
)
def test_a_bad_setting_is_one_sentence_with_the_way_out(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        read_settings((URIS if environment else {}) | environment)
    assert sentence in str(error.value)


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())
