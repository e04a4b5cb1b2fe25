"""settings: typed settings, read once at the start from CHECKOUT_AGES_… variables and command-line options."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from jobs.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Part = TypeVar("Part", bound="DataclassInstance")

PREFIX = "CHECKOUT_AGES_"
KEY_NAME = "cashier_pseudonym_key"
KEY_VARIABLE = f"{PREFIX}{KEY_NAME.upper()}"
KEY_MEANING = (
    "secret key of 32 characters or more. If it is set, tables hold a pseudonym instead of each cashier_id. All "
    "machines that run Spark tasks need the key too"
)
SHORTEST_KEY = 32
SECRET_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", KEY_VARIABLE)
CREDENTIALS_WITHIN = re.compile(r"(?!file:)(?:[a-z0-9+.-]{2,}:/|s3[an]?:|gc?s:).*[:@?#]", re.IGNORECASE | re.DOTALL)
"""Finds characters that no URI of a bucket and a folder has: they would belong to a password or a signature."""

SKEW, STRETCH = r"[+-]?[0-9]{1,5}(?:\.[0-9]{1,6})?", r"[0-9]{1,2}(?:\.[0-9]{1,6})?"
"""The forms of numbers in settings by till."""
LARGEST_STRETCH = 4.0

WINDOWS_PATH = re.compile(r"(?:file:/*)?([A-Za-z]):(.*)|\\\\.*", re.DOTALL)
WITH_SCHEME = re.compile(r"(file|s3[an]?|gs|gcs):(.*)|([a-z][a-z0-9+.-]+)://.*", re.IGNORECASE | re.DOTALL)
BUCKET_SCHEMES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs"}
"""Names that other programs use for a kind of store, and the name used here."""


class Settings(BaseModel):
    """All settings. Each field is set by an environment variable: CHECKOUT_AGES_ and the field's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landing_uri: str = Field(description="URI where the stores deliver photos and receipts: file:///…, s3://bucket/…")
    warehouse_uri: str = Field(description="URI where the tables are published: file:///…, s3://bucket/…")
    store_time_zone: str = Field(
        "Europe/Moscow", description="the stores' time zone, in which a business date is a day"
    )
    business_date_allowance_minutes: int = Field(
        120,
        ge=0,
        le=720,
        description="minutes before and after a business date in which its receipts and photos are still accepted",
    )
    photo_key_template: str = Field(
        "store_id={store_id}/till_id={till_id}/{taken_at}.{extension}",
        description="form of a photo key below photos/business_date=D/, with the fields store_id, till_id, taken_at, "
        "extension and, if wanted, transaction_id; {ignored} skips a folder level or a part of a name",
    )
    model_version: str = Field("age_resnet50-4", description="version of the age model")
    inference_engine: Literal["openvino", "tensorflow"] = Field(
        "openvino", description="library that runs the age model: openvino (int8, fast) or tensorflow (the reference)"
    )
    reuse_estimates: bool = Field(
        True,
        description="whether another run of a day reuses the estimates of an earlier run, if the photo, the model and "
        "the checks are the same",
    )
    age_group_lower_bounds_years: tuple[int, ...] = Field(
        (0, 18, 25, 35, 45, 55, 65), description="first year of each age group"
    )
    legal_purchase_age_years: int = Field(
        18, ge=1, le=100, description="legal age: the age of the youngest person who may buy alcohol"
    )
    challenge_age_years: int = Field(
        25,
        ge=1,
        le=100,
        validate_default=True,
        description="challenge age: a cashier asks everyone who looks younger for an ID",
    )
    under_legal_age_alert_probability: float = Field(
        0.5,
        gt=0,
        le=1,
        description="an unchecked sale with at least this P(under the legal age) becomes possibly_under_age_unchecked",
    )
    under_challenge_age_alert_probability: float = Field(
        0.5,
        gt=0,
        le=1,
        description="an unchecked sale with at least this P(under the challenge age) becomes challenge_age_unchecked",
    )
    review_case_limit: int = Field(
        50, ge=0, le=100_000, description="most sales of a day that alcohol_review_cases lists for a person to look at"
    )
    review_case_minimum_probability: float = Field(
        0.1, gt=0, le=1, description="alcohol_review_cases lists no sale with a lower P(under the legal age)"
    )
    window_days: int = Field(
        28,
        ge=1,
        le=366,
        description="length of the window of cashier_alcohol_audit, reviewed_cases and review_precision; it ends on "
        "their business date",
    )
    minimum_compared_count: float = Field(
        20,
        gt=0,
        description="a cashier with fewer expected buyers under the challenge age in compared_count is not judged",
    )
    review_q_value: float = Field(
        0.05, gt=0, lt=1, description="a person should look at the sales of a cashier with this q_value or a lower one"
    )
    minimum_affinity_transaction_count: int = Field(
        30, ge=1, description="a category or an age group with fewer transactions has no affinity_index"
    )
    minimum_cell_count: int = Field(
        0, ge=0, description="smaller counts of transactions are not published by age group; 0 publishes all"
    )
    transaction_span_seconds: int = Field(
        180, ge=1, le=7200, description="length of a receipt without opened_at: it begins so long before closed_at"
    )
    till_clock_skew_seconds: Mapping[str, float] = Field(
        {},
        description="seconds by which a till's clock runs ahead of its camera's, by store and till: "
        "0042/03=12,0042/04=-7",
    )
    photo_burst_seconds: float = Field(
        3.0,
        ge=0,
        le=60,
        description="photos of a buyer that follow each other this closely count as one photo, a burst",
    )
    till_clock_drift_warning_seconds: int = Field(
        30, ge=1, le=3600, description="warn when a till's clock seems to differ from its camera's by more than this"
    )
    photo_stretch: Mapping[str, float] = Field(
        {},
        description="factor by which photos of a till are stretched in height before faces are searched, if its camera "
        "squashes them, by store and till: 0042/03=2.0 for photos of half height",
    )
    max_photo_bytes: int = Field(20 * 1024 * 1024, ge=1, description="larger photos are not fetched")
    max_photo_pixels: int = Field(50_000_000, ge=1, description="photos with more pixels are not decoded")
    photo_retention_days: int = Field(
        31, ge=1, le=3660, description="days after which `checkout-ages retain` deletes photos"
    )
    landing_timeout_seconds: int = Field(
        12 * 3600, ge=1, description="how long the DAG waits until the stores have delivered the day"
    )
    night_deadline_seconds: int = Field(
        6 * 3600,
        ge=0,
        description="how long after it was queued a night counts as late, which is an alert; 0 switches that off",
    )
    task_retry_delay_seconds: int = Field(
        300, ge=0, description="how long Airflow waits before it retries a failed task"
    )
    lock_stale_seconds: int = Field(
        240,
        ge=1,
        le=86_400,
        description="a publishing process that gives no sign of life for so long counts as dead, and another may take "
        "over its lock. Keep it longer than the copy of one table, and shorter than task_retry_delay_seconds",
    )
    largest_copy_bytes: int = Field(
        1_000_000_000,
        ge=5 * 1024**2,
        le=5_000_000_000,
        description="larger tables are copied in parts on S3, and appear whole as well. AWS copies up to "
        "5 GB in one request, some other stores 1 GB",
    )
    staging_days: float = Field(
        7, gt=0, le=3650, description="days after which the staged tables of a run that never published are deleted"
    )
    backfill_applications: int = Field(
        1, ge=1, le=1000, description="Spark applications that a backfill runs at a time; each builds many days"
    )
    max_other_date_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="publish nothing when a larger share of a day's receipt lines, or photos, is of another date",
    )
    max_unreadable_file_share: float = Field(
        0.02,
        ge=0,
        le=1,
        description="publish nothing when a larger share of a day's receipt files cannot be read to the end",
    )
    max_rejected_line_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="publish nothing when a larger share of a day's receipt lines is rejected; lines of another date "
        "and exact repeats of earlier lines do not count",
    )
    min_republished_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="publish nothing when a run has less than this share of the receipts, receipts with a photo or "
        "receipts with an estimate that are published for the day; 0 switches that off",
    )
    max_unfetched_photo_share: float = Field(
        0.1,
        ge=0,
        le=1,
        description="publish nothing when a larger share of a day's photos, and more than one photo, is replaced or "
        "unreadable_object",
    )
    max_unknown_share_warning: float = Field(
        0.5, ge=0, le=1, description="warn when a larger share of a day's transactions has no age estimate"
    )
    max_unfit_photo_share_warning: float = Field(
        0.3,
        ge=0,
        le=1,
        description="warn of a till with 20 or more photos when a larger share of them shows faces that are too dark, "
        "too bright, without contrast, blurred or distorted",
    )
    trailing_window_days: int = Field(
        28,
        ge=7,
        le=366,
        description="check_night compares a day with the median of so many days before it, if at least 7 are published",
    )
    max_coverage_drop_warning: float = Field(
        0.1,
        ge=0,
        le=1,
        description="warn when the share of transactions with a photo is lower than the median of earlier days by "
        "more than this",
    )
    max_unknown_share_rise_warning: float = Field(
        0.1,
        ge=0,
        le=1,
        description="warn when the share of transactions without an age estimate is higher than the median of earlier "
        "days by more than this",
    )
    max_mean_age_drift_warning_years: float = Field(
        2.0,
        ge=0,
        description="warn when the mean estimated age differs from the median of earlier days by more than this",
    )
    max_under_18_drift_warning: float = Field(
        0.02,
        ge=0,
        le=1,
        description="warn when the mean P(under 18) differs from the median of earlier days by more than this",
    )
    max_volume_ratio_warning: float = Field(
        2.0,
        ge=1,
        description="warn when a day has more than so many times the median number of transactions, or less than the "
        "median divided by it",
    )
    report_language: Literal["en", "ru"] = Field(
        "en", description="language of the nightly report, with its forms of numbers and dates: en or ru"
    )
    reports_url: str = Field(
        "",
        description="https:// address of the warehouse's folder reports/, for links to pages; if it is empty, links "
        "are URIs in the warehouse",
    )

    @field_validator("store_time_zone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"no time zone '{name}'; use a name such as Europe/Moscow")
        return name

    @field_validator("reports_url")
    @classmethod
    def _url_of_a_folder(cls, url: str) -> str:
        if url and not re.fullmatch(r"https?://\S+", url):
            raise ValueError(
                "it is not a URL of a folder; use one such as https://ages.example/reports, or leave it out"
            )
        return url.rstrip("/")

    @field_validator("landing_uri", "warehouse_uri")
    @classmethod
    def _absolute_uri(cls, uri: str) -> str:
        return store_uri(uri)

    @field_validator("age_group_lower_bounds_years", mode="before")
    @classmethod
    def _bounds_from_text(cls, bounds: object) -> object:
        return tuple(part.strip() for part in bounds.split(",")) if isinstance(bounds, str) else bounds

    @field_validator("age_group_lower_bounds_years")
    @classmethod
    def _rising_from_zero(cls, bounds: tuple[int, ...]) -> tuple[int, ...]:
        # From 0, or buyers under the first bound would be in no age group.
        if not bounds or bounds[0] != 0 or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"age groups {bounds} must begin at 0 and rise, as in 0,18,25,35,45,55,65")
        return bounds

    @field_validator("challenge_age_years")
    @classmethod
    def _not_under_the_legal_age(cls, challenge_age: int, others: ValidationInfo) -> int:
        # A legal age that is not valid is not in `data`; its own error is enough.
        legal_age = others.data.get("legal_purchase_age_years", challenge_age)
        if challenge_age < legal_age:
            raise ValueError(f"it is under the legal age, {legal_age}; set {legal_age} or more")
        return challenge_age

    @field_validator("till_clock_skew_seconds", mode="before")
    @classmethod
    def _skews_from_text(cls, skews: object) -> object:
        return _by_till(skews, SKEW, "SECONDS, as in 0042/03=12") if isinstance(skews, str) else skews

    @field_validator("photo_stretch", mode="before")
    @classmethod
    def _stretches_from_text(cls, stretches: object) -> object:
        return _by_till(stretches, STRETCH, "STRETCH, as in 0042/03=2.0") if isinstance(stretches, str) else stretches

    @field_validator("photo_stretch")
    @classmethod
    def _stretches_that_a_frame_has(cls, stretches: Mapping[str, float]) -> Mapping[str, float]:
        for till, stretch in stretches.items():
            if not 1 / LARGEST_STRETCH <= stretch <= LARGEST_STRETCH:
                raise ValueError(
                    f"till {till} has {stretch:g}; give a number from {1 / LARGEST_STRETCH:g} to {LARGEST_STRETCH:g}, "
                    "such as 2.0 for frames of half height"
                )
        return stretches

    @field_validator("photo_key_template")
    @classmethod
    def _template_places_a_photo(cls, template: str) -> str:
        fields = set(re.findall(r"\{(\w+)\}", template))
        missing = {"store_id", "till_id", "taken_at"} - fields
        unknown = fields - {"store_id", "till_id", "taken_at", "extension", "transaction_id", "ignored"}
        if missing or unknown:
            raise ValueError(f"template '{template}' lacks {sorted(missing)} or has unknown fields {sorted(unknown)}")
        return template

    def part(self, kind: type[Part]) -> Part:
        """Return the settings that the fields of a dataclass name, as one value of that class."""
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)})

    def window(self, last_date: date) -> list[date]:
        """Return the business dates of the window that ends on a date, in order."""
        return [last_date - timedelta(days=number) for number in reversed(range(self.window_days))]

    @property
    def time_zone(self) -> ZoneInfo:
        """The stores' time zone."""
        return ZoneInfo(self.store_time_zone)


SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "Where data lies, and how it is named": (
        "landing_uri",
        "warehouse_uri",
        "store_time_zone",
        "business_date_allowance_minutes",
        "photo_key_template",
    ),
    "The age model": ("model_version", "inference_engine", "reuse_estimates"),
    "Photos": ("max_photo_bytes", "max_photo_pixels", "photo_stretch"),
    "Which photo belongs to which receipt": (
        "transaction_span_seconds",
        "photo_burst_seconds",
        "till_clock_skew_seconds",
        "till_clock_drift_warning_seconds",
    ),
    "Age groups and small cells": (
        "age_group_lower_bounds_years",
        "minimum_affinity_transaction_count",
        "minimum_cell_count",
    ),
    "The alcohol audit": (
        "legal_purchase_age_years",
        "challenge_age_years",
        "under_legal_age_alert_probability",
        "under_challenge_age_alert_probability",
        "review_case_limit",
        "review_case_minimum_probability",
        "window_days",
        "minimum_compared_count",
        "review_q_value",
    ),
    "When `check_night` publishes nothing": (
        "max_other_date_share",
        "max_unreadable_file_share",
        "max_rejected_line_share",
        "min_republished_share",
        "max_unfetched_photo_share",
    ),
    "When `check_night` warns": (
        "max_unknown_share_warning",
        "max_unfit_photo_share_warning",
        "trailing_window_days",
        "max_coverage_drop_warning",
        "max_unknown_share_rise_warning",
        "max_mean_age_drift_warning_years",
        "max_under_18_drift_warning",
        "max_volume_ratio_warning",
    ),
    "Waiting, retries and staging": (
        "landing_timeout_seconds",
        "night_deadline_seconds",
        "task_retry_delay_seconds",
        "lock_stale_seconds",
        "largest_copy_bytes",
        "staging_days",
        "backfill_applications",
    ),
    "The report": ("report_language", "reports_url"),
    "People's data": ("photo_retention_days", KEY_NAME),
}
"""Settings by the subject under which jobs/README.md lists them. A test checks that each setting is there once."""


def read_settings(environment: Mapping[str, str], **flags: object) -> Settings:
    """Read settings from environment variables; command-line options in `flags` that are not None take precedence.

    Raises InputError that names the variable, its value unless it may be secret, and how to fix it. The key for
    cashiers' pseudonyms is checked, but not stored in the settings.
    """
    pseudonym_key(environment)
    own = (name for name in environment if name.startswith(PREFIX) and name != KEY_VARIABLE)
    given = {name[len(PREFIX) :].lower(): environment[name] for name in own}
    for name in given:
        # A misspelt name would otherwise leave the default in place unnoticed.
        if name not in Settings.model_fields:
            raise InputError(f"unknown setting {PREFIX}{name.upper()}{_did_you_mean(name)}")
    given_flags = {name: value for name, value in flags.items() if value is not None}
    # Before validation, because its message would show the value.
    _refuse_credentials_within(given | given_flags)
    try:
        return Settings.model_validate(given | given_flags)
    except ValidationError as error:
        raise InputError(_without_secrets(_explain(error), environment)) from None


def pseudonym_key(environment: Mapping[str, str]) -> str | None:
    """Return the key for cashiers' pseudonyms from the environment, or None if there is none.

    Raises InputError when the key is too short to keep ids from being guessed.
    """
    key = environment.get(KEY_VARIABLE, "").strip()
    if KEY_VARIABLE in environment and len(key) < SHORTEST_KEY:
        raise InputError(
            f"{KEY_VARIABLE} has {len(key)} characters, too few to keep ids from being guessed: "
            f"set {SHORTEST_KEY} or more, such as those of `openssl rand -base64 32`, or unset it"
        )
    return key or None


def store_uri(address: str) -> str:
    """Return the URI of a folder or a bucket from what a person typed, without a slash at its end.

    A path is a folder of this machine, and `~` is the home of its user. Raises ValueError with the right form if an
    address is empty or does not mean what it seems to: a Windows path, a host after file://, s3:/bucket.
    """
    if not address.strip():
        raise ValueError("it is empty; write a folder, such as /data/landing, or s3://bucket/folder")
    if windows := WINDOWS_PATH.fullmatch(address):
        raise ValueError(_windows(windows))
    found = WITH_SCHEME.fullmatch(address)
    if found is None:
        return _folder(address)
    if found[3]:
        return address.rstrip("/")
    scheme, rest = found[1].lower(), found[2]
    return _file(rest) if scheme == "file" else _bucket(scheme, rest)


def as_markdown() -> str:
    """Render all settings with their defaults and meanings as markdown, one table for each subject."""
    return "\n\n".join(_subject_as_markdown(subject, names) for subject, names in SUBJECTS.items())


def _subject_as_markdown(subject: str, names: tuple[str, ...]) -> str:
    rows = [f"| `{PREFIX}{name.upper()}` | {_default(name)} | {_meaning(name)} |" for name in names]
    return "\n".join([f"### {subject}", "", "| variable | default | meaning |", "|---|---|---|", *rows])


def _refuse_credentials_within(values: Mapping[str, object]) -> None:
    for name in ("landing_uri", "warehouse_uri"):
        if CREDENTIALS_WITHIN.match(str(values.get(name, ""))):
            raise InputError(
                f"setting {PREFIX}{name.upper()} has one of : @ ? # after its first slash; its value is not shown, "
                "because it may hold credentials: give bucket and folder only, as in s3://bucket/folder, and set "
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL"
            )
    if re.search("[@?#]", str(values.get("reports_url", ""))):
        raise InputError(
            f"setting {PREFIX}REPORTS_URL has one of @ ? #; its value is not shown, because it may hold credentials: "
            "give host and folder only, as in https://ages.example/reports"
        )


def _without_secrets(sentence: str, environment: Mapping[str, str]) -> str:
    """Hide secrets of the environment that were also written into a wrong variable."""
    for variable in SECRET_VARIABLES:
        if secret := environment.get(variable):
            sentence = sentence.replace(secret, f"[{variable}]")
    return sentence


def _by_till(text: str, number: str, form: str) -> dict[str, float]:
    """Read 0042/03=12,0042/04=-7 as numbers by store and till; `form` describes the form of a part in messages."""
    numbers: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = re.fullmatch(rf"([^/=*]+/[^/=*]+)=({number})", part)
        if not found:
            raise ValueError(f"'{part}' is not STORE/TILL={form}")
        # A dict would keep the last of the two without a word.
        if found[1] in numbers:
            raise ValueError(f"it names till {found[1]} twice")
        numbers[found[1]] = float(found[2])
    return numbers


def _meaning(name: str) -> str:
    return KEY_MEANING if name == KEY_NAME else str(Settings.model_fields[name].description)


def _default(name: str) -> str:
    if name == KEY_NAME:
        return "none"
    field = Settings.model_fields[name]
    if field.is_required():
        return "none; required"
    value = field.default
    if value == {}:
        return "none"
    return f"`{','.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    return f"; did you mean {PREFIX}{close[0].upper()}?" if close else "; `checkout-ages settings` lists the known ones"


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    variable, flag = f"{PREFIX}{name.upper()}", f"--{name.replace('_', '-')}"
    if first["type"] == "missing":
        return f"no {name.replace('_', ' ')}: set {variable} or pass {flag}"
    return f"setting {variable} = '{first['input']}' is not usable: {first['msg'].removeprefix('Value error, ')}"


def _folder(path: str) -> str:
    """Return the URI of a folder of this machine, percent-encoded, so that a shell takes it as one word."""
    try:
        return Path(path).expanduser().absolute().as_uri()
    except RuntimeError:
        raise ValueError(f"user '{path.split('/')[0]}' has no home folder here; write the whole path") from None


def _file(path: str) -> str:
    host, slash, below = path.removeprefix("//").partition("/")
    if path.startswith("//") and host not in ("", "localhost"):
        right = _folder(host + slash + below) if host.startswith(("~", ".")) else _whole_path(host + slash + below)
        raise ValueError(f"'{host}' would be the name of a host; write {right}, with three slashes, or the path alone")
    if path.startswith("//"):
        return _whole_path(below)
    if path.startswith("/"):
        return _whole_path(path)
    if path.startswith("~"):
        return _folder(unquote(path))
    raise ValueError(f"a URI must have the whole path; write {_folder(unquote(path))}, or the path alone")


def _whole_path(path: str) -> str:
    """Return the URI of an absolute path; letters that a shell or a URI would misread are percent-encoded."""
    return f"file:///{quote(path.strip('/'), safe='/%:@=+,~')}"


def _bucket(scheme: str, rest: str) -> str:
    right_scheme = BUCKET_SCHEMES[scheme]
    name = rest.strip("/")
    if not name or rest.startswith("///"):
        raise ValueError(f"it names no bucket; write {right_scheme}://bucket/folder")
    if scheme != right_scheme or not rest.startswith("//"):
        raise ValueError(f"write {right_scheme}://{name}")
    return f"{scheme}://{rest[2:].rstrip('/')}"


def _windows(found: re.Match[str]) -> str:
    if not found[1]:
        return (
            "it is a Windows share; mount it, and write the folder as this machine names it, such as file:///mnt/share"
        )
    path = found[2].replace("\\", "/").strip("/")
    form = f"file:///mnt/{found[1].lower()}/{path}".rstrip("/")
    return f"it is a Windows path; write the folder as this machine names it, such as {form}"
