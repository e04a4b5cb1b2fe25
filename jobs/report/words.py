"""words: translates the report's texts into one language, and writes numbers and dates in the form of that language.

Texts are English in code and templates; locale/LANGUAGE.po has the other languages. In a text, %(name)s is replaced
by a value, and %% is a percent sign.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, format_percent
from babel.support import NullTranslations, Translations

from jobs.schemas.buyers import SUPPRESSED, UNKNOWN

CATALOGUES = Path(__file__).parent / "locale"
LOCALES = {"en": "en_GB", "ru": "ru_RU"}
"""Locale by which each language of the report writes numbers and dates."""

Number = int | float | Decimal


def marked(message: str) -> str:
    """Return a text unchanged; the call marks it for the translation catalogues. It is translated later, when used."""
    return message


GROUP_WORDS = {UNKNOWN: marked("unknown"), SUPPRESSED: marked("suppressed")}


@dataclass(frozen=True)
class Words:
    """One language of the report: its translations, and its forms of numbers and dates."""

    language: str
    locale: Locale
    translations: NullTranslations

    def text(self, message: str, **values: object) -> str:
        """Translate a text, and replace each %(name)s in it by the value of that name."""
        found: str = self.translations.gettext(message)
        return found % values

    def count(self, value: Number) -> str:
        """Write a whole number: 12,345."""
        return format_decimal(round(value), locale=self.locale)

    def number(self, value: Number, digits: int = 1) -> str:
        """Write a number with `digits` decimals: 12.3."""
        return format_decimal(value, f"#,##0.{'0' * digits}" if digits else "#,##0", locale=self.locale)

    def share(self, value: Number, digits: int = 0) -> str:
        """Write a share, a number from 0 to 1, in percent: 12%."""
        pattern = self.locale.percent_formats[None].pattern.replace("#,##0", f"#,##0.{'0' * digits}" if digits else "0")
        return format_percent(value, pattern, locale=self.locale)

    def money(self, value: Number, currency: str) -> str:
        """Write an amount of money without cents: 1,234 USD."""
        return format_currency(value, currency, locale=self.locale, currency_digits=False, format="#,##0 ¤")

    def day(self, value: date, form: str = "long") -> str:
        """Write a date. `form` is full (with the weekday), long, or a pattern such as `d MMM`."""
        return format_date(value, form, locale=self.locale)

    def age_group(self, name: str) -> str:
        """Write the name of an age group: 18–24, or a translated word for 'unknown' and 'suppressed'."""
        return self.text(GROUP_WORDS[name]) if name in GROUP_WORDS else name.replace("-", "–")

    def moment(self, value: datetime, time_zone: ZoneInfo) -> str:
        """Write a moment as date and time in a time zone."""
        return format_datetime(value, "d MMM y, HH:mm", tzinfo=time_zone, locale=self.locale)


def words_in(language: str) -> Words:
    """Return the translations and forms of a language of LOCALES, such as en."""
    return Words(language, Locale.parse(LOCALES[language]), _translations(CATALOGUES / f"{language}.po"))


def _translations(path: Path) -> NullTranslations:
    if not path.exists():
        return NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as catalogue:
        # The .po file is compiled here, so that no compiled catalogue can be older than its source.
        write_mo(compiled, read_po(catalogue))
    compiled.seek(0)
    return Translations(compiled)
