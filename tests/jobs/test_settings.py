from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.errors import InputError
from jobs.settings import KEY_NAME, KEY_VARIABLE, SUBJECTS, Settings, as_markdown, read_settings, store_uri

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


def test_stretches_of_frames_are_factors_by_store_and_till() -> None:
    settings = read_settings(URIS | {"CHECKOUT_AGES_PHOTO_STRETCH": "0042/03=2.0,0042/04=0.75"})
    assert settings.photo_stretch == {"0042/03": 2.0, "0042/04": 0.75}
    assert read_settings(URIS).photo_stretch == {}


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "no landing uri: set CHECKOUT_AGES_LANDING_URI or pass --landing-uri"),
        (
            URIS | {"CHECKOUT_AGES_PHOTO_STRETCH": "0042/03=half"},
            "PHOTO_STRETCH = '0042/03=half' is not usable: '0042/03=half' is not STORE/TILL=STRETCH, as in 0042/03=2.0",
        ),
        (
            URIS | {"CHECKOUT_AGES_PHOTO_STRETCH": "0042/03=20"},
            "till 0042/03 has 20; give a number from 0.25 to 4, such as 2.0 for frames of half height",
        ),
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
            "setting CHECKOUT_AGES_CHALLENGE_AGE_YEARS = '25' is not usable: it is under the legal age, 30",
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
        (
            {"CHECKOUT_AGES_REPORT_LANGUAGE": "de"},
            "setting CHECKOUT_AGES_REPORT_LANGUAGE = 'de' is not usable: Input should be 'en' or 'ru'",
        ),
        (
            {"CHECKOUT_AGES_REPORTS_URL": "ages"},
            "it is not a URL of a folder; use one such as https://ages.example/reports",
        ),
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


@pytest.mark.parametrize(
    "uri",
    [
        "s3://key:planted@bucket/landing",
        "s3://key:plan/ted@bucket",
        "S3://key:planted@bucket",
        "s3:key:planted@bucket",
        "https://key:planted@minio:9000/bucket",
        "s3://bucket/landing?X-Amz-Signature=planted",
        "gs://token@bucket",
    ],
)
def test_a_uri_that_holds_credentials_is_refused_and_not_shown(uri: str) -> None:
    with pytest.raises(InputError, match=r"CHECKOUT_AGES_LANDING_URI has one of : @ .* value is not shown") as refused:
        read_settings(URIS | {"CHECKOUT_AGES_LANDING_URI": uri})
    assert "plan" not in str(refused.value)
    assert "token" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://me:se-cret@ages.example/reports", "https://ages.example/r?sig=se-cret"])
def test_a_url_of_reports_that_holds_credentials_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InputError, match=r"REPORTS_URL has one of @ [?] #; its value is not shown") as refused:
        read_settings({"CHECKOUT_AGES_REPORTS_URL": url}, landing_uri="in", warehouse_uri="out")
    assert "se-cret" not in str(refused.value)


def test_a_local_folder_may_have_any_name() -> None:
    assert read_settings(URIS, landing_uri="file:///a@b/c:d").landing_uri == "file:///a@b/c:d"
    assert read_settings(URIS, landing_uri="/a@b/c#d").landing_uri == "file:///a%40b/c%23d"


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", KEY_VARIABLE])
def test_a_secret_in_a_wrong_variable_is_not_shown(variable: str) -> None:
    secret = "planted/secret+of=32-characters-or-more"
    environment = URIS | {variable: secret, "CHECKOUT_AGES_PHOTO_KEY_TEMPLATE": f"{{store_id}}/{secret}"}
    with pytest.raises(InputError, match=r"lacks \['taken_at', 'till_id'\].*") as refused:
        read_settings(environment)
    assert secret not in str(refused.value)
    assert f"[{variable}]" in str(refused.value)


def test_the_key_of_cashiers_pseudonyms_is_no_setting_but_is_checked_with_them() -> None:
    assert KEY_VARIABLE in as_markdown()
    assert "k" * 32 not in repr(read_settings(URIS | {KEY_VARIABLE: "k" * 32}))
    with pytest.raises(InputError, match=f"{KEY_VARIABLE} has 5 characters, too few"):
        read_settings(URIS | {KEY_VARIABLE: "short"})
    with pytest.raises(InputError, match=f"unknown setting {KEY_VARIABLE}S"):
        read_settings(URIS | {f"{KEY_VARIABLE}S": "k" * 32})


def test_every_setting_says_what_it_is() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("/data/in", "file:///data/in"),
        ("/data/in/", "file:///data/in"),
        ("file:/data/in", "file:///data/in"),
        ("file:///data/in/", "file:///data/in"),
        ("file:////data/in", "file:///data/in"),
        ("file://localhost/data/in", "file:///data/in"),
        ("FILE:/data/in", "file:///data/in"),
        ("~/in", "file:///home/shop/in"),
        ("~", "file:///home/shop"),
        ("file:~/in", "file:///home/shop/in"),
        ("/data/my landing's", "file:///data/my%20landing%27s"),
        ("file:///data/my landing", "file:///data/my%20landing"),
        ("file:///data/my%20landing", "file:///data/my%20landing"),
        ("/data/a#b?c", "file:///data/a%23b%3Fc"),
        ("/data/касса", "file:///data/%D0%BA%D0%B0%D1%81%D1%81%D0%B0"),
        ("s3://bucket/in/", "s3://bucket/in"),
        ("S3://bucket/In", "s3://bucket/In"),
        ("gs://bucket", "gs://bucket"),
        ("http://host/x", "http://host/x"),
    ],
)
def test_an_address_is_the_uri_that_it_means(address: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/shop")
    assert store_uri(address) == uri
    assert store_uri(uri) == uri


def test_a_path_without_a_slash_lies_in_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store_uri("data:2026/in") == (tmp_path / "data:2026" / "in").as_uri()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("C:\\data\\in", "it is a Windows path; write the folder as this machine names it, such as file:///mnt/c/data"),
        ("d:/in", "such as file:///mnt/d/in"),
        ("d:", "such as file:///mnt/d"),
        ("d:in", "such as file:///mnt/d/in"),
        ("", "it is empty; write a folder, such as /data/landing, or s3://bucket/folder"),
        ("  ", "it is empty; write a folder"),
        ("file:///C:/data/in", "such as file:///mnt/c/data/in"),
        ("file://C:\\in", "such as file:///mnt/c/in"),
        ("\\\\server\\share", "it is a Windows share; mount it"),
        ("file://data/in", "'data' would be the name of a host; write file:///data/in, with three slashes"),
        ("file://in", "write file:///in, with three slashes"),
        ("file://~/in", "write file:///home/shop/in, with three slashes"),
        ("file:data", "a URI must have the whole path; write file:///"),
        ("~nobody-of-this-name/in", "user '~nobody-of-this-name' has no home folder here; write the whole path"),
        ("s3:/bucket/in", "write s3://bucket/in"),
        ("s3:bucket", "write s3://bucket"),
        ("s3a://bucket/in", "write s3://bucket/in"),
        ("gcs://bucket", "write gs://bucket"),
        ("s3://", "it names no bucket; write s3://bucket/folder"),
        ("s3:///in", "it names no bucket; write s3://bucket/folder"),
    ],
)  # fmt: skip
def test_an_address_that_means_something_else_is_refused_with_the_right_form(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/shop")
    with pytest.raises(InputError) as error:
        read_settings({}, landing_uri=address, warehouse_uri="/out")
    assert str(error.value).startswith("setting CHECKOUT_AGES_LANDING_URI = '")
    assert words in str(error.value)


def test_each_setting_belongs_to_one_subject() -> None:
    listed = [name for names in SUBJECTS.values() for name in names]
    assert sorted(listed) == sorted([*Settings.model_fields, KEY_NAME])


@dataclass(frozen=True)
class Ages:
    challenge_age_years: int
    legal_purchase_age_years: int


def test_a_dataclass_takes_the_settings_that_its_fields_name() -> None:
    settings = read_settings({}, landing_uri="/in", warehouse_uri="/out", challenge_age_years=30)
    assert settings.part(Ages) == Ages(challenge_age_years=30, legal_purchase_age_years=18)
