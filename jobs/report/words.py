"""words: the report's texts in one language, with numbers and dates as that language writes them.

Texts are English in code and templates; locale/LANGUAGE.po has the other languages. In a text, %(name)s is filled in,
and %% is a percent sign.
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
    """Mark a text for the translation catalogues; it is translated where it is used."""
    return message


GROUP_WORDS = {UNKNOWN: marked("unknown"), SUPPRESSED: marked("suppressed")}


@dataclass(frozen=True)
class Words:
    """Texts, numbers and dates in one language."""

    language: str
    locale: Locale
    translations: NullTranslations

    def text(self, message: str, **values: object) -> str:
        """Return a text in the language, with its values filled in."""
        found: str = self.translations.gettext(message)
        return found % values

    def count(self, value: Number) -> str:
        """Write a whole number: 12,345."""
        return format_decimal(round(value), locale=self.locale)

    def number(self, value: Number, digits: int = 1) -> str:
        """Write a number with so many decimals."""
        return format_decimal(value, f"#,##0.{'0' * digits}" if digits else "#,##0", locale=self.locale)

    def share(self, value: Number, digits: int = 0) -> str:
        """Write a share of 1 in percent."""
        pattern = self.locale.percent_formats[None].pattern.replace("#,##0", f"#,##0.{'0' * digits}" if digits else "0")
        return format_percent(value, pattern, locale=self.locale)

    def money(self, value: Number, currency: str) -> str:
        """Write an amount of money without its cents."""
        return format_currency(value, currency, locale=self.locale, currency_digits=False, format="#,##0 ¤")

    def day(self, value: date, form: str = "long") -> str:
        """Write a date; `form` is full (with its weekday), long or a pattern as `d MMM`."""
        return format_date(value, form, locale=self.locale)

    def age_group(self, name: str) -> str:
        """Write the name of an age group."""
        return self.text(GROUP_WORDS[name]) if name in GROUP_WORDS else name.replace("-", "–")

    def moment(self, value: datetime, time_zone: ZoneInfo) -> str:
        """Write a moment in the stores' time zone."""
        return format_datetime(value, "d MMM y, HH:mm", tzinfo=time_zone, locale=self.locale)


def words_in(language: str) -> Words:
    """Return the words of a language of LOCALES."""
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
