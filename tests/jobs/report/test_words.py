"""Every text of the report is there in every language, and numbers and dates are written as people do there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from jobs.report import words
from jobs.report.words import LOCALES, words_in
from jobs.steps.rules.night_rules import RULES

REPORT = Path(words.__file__).parent
TEXTS = {"_": None, "text": None, "marked": None}
TRANSLATED = [language for language in LOCALES if language != "en"]


def messages() -> Iterator[str]:
    """All texts of the code and the templates, and the names of the checks that may warn."""
    readers = [("**.py", "python"), ("**.html", "jinja2.ext:babel_extract")]
    for _, _, message, _, _ in extract_from_dir(REPORT, readers, keywords=TEXTS):  # type: ignore[arg-type]
        yield message
    yield from (rule.name for rule in RULES if rule.severity == "warn" or rule.judges_delivery)


@pytest.mark.parametrize("language", TRANSLATED)
def test_no_text_lacks_a_translation_and_none_is_of_a_text_that_is_gone(language: str) -> None:
    with (words.CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = {message.id: message.string for message in read_po(file) if message.id}
    assert set(messages()) == set(catalogue)
    assert [text for text, translation in catalogue.items() if not translation] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_fills_in_what_the_text_does(language: str) -> None:
    with (words.CATALOGUES / f"{language}.po").open("rb") as file:
        for message in filter(lambda message: message.id, read_po(file)):
            given = re.findall(r"%\((\w+)\)s", str(message.id))
            assert sorted(set(given)) == sorted(set(re.findall(r"%\((\w+)\)s", str(message.string))))
            str(message.string) % dict.fromkeys(given, "x")


@pytest.mark.parametrize("language", LOCALES)
def test_every_text_can_be_said(language: str) -> None:
    said = words_in(language)
    for message in messages():
        values = dict.fromkeys(re.findall(r"%\((\w+)\)s", message), "x")
        assert said.text(message, **values)


def test_numbers_and_dates_are_written_as_people_do() -> None:
    english, russian = words_in("en"), words_in("ru")
    assert (english.count(1234567), russian.count(1234567)) == ("1,234,567", "1\u00a0234\u00a0567")
    assert (english.share(0.925, 1), russian.share(0.925, 1)) == ("92.5%", "92,5\u00a0%")
    assert (english.share(0.9), russian.share(0.9)) == ("90%", "90\u00a0%")
    assert (english.number(2.345), russian.number(2.345, 2)) == ("2.3", "2,34")
    assert russian.money(1999.5, "RUB") == "2\u00a0000 ₽"
    assert english.day(date(2026, 11, 20), "full") == "Friday, 20 November 2026"
    assert english.moment(datetime(2026, 11, 20, 22, 5, tzinfo=UTC), ZoneInfo("Europe/Moscow")) == "21 Nov 2026, 01:05"


def test_an_age_group_is_written_with_a_dash_and_unknown_in_words() -> None:
    assert [words_in("ru").age_group(name) for name in ("18-24", "65+", "unknown")] == ["18–24", "65+", "неизвестно"]
