"""sample_chain: how large the chain of a sample day is, and the truth that is planted in its photos and receipts.

    chain = read_chain(Path("my_chain.toml"))

Without a file, a day has all receipts of the data set, the stores that they are from, and nothing planted. month.toml,
next to this module, is the chain of `make month`; it shows every field.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from jobs.errors import InputError

Share = Annotated[float, Field(gt=0, lt=1)]


class Plant(NamedTuple):
    """One thing that is planted, where it is, and what it is in words."""

    words: str
    store_id: str | None = None
    till_id: str | None = None
    cashier_id: str | None = None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LaxCashier(_Part):
    """A cashier who asks for an ID `asks_times` as often as the others do."""

    cashier_id: str
    asks_times: float = Field(ge=0, lt=1)


class OlderStore(_Part):
    """A store where a buyer is more likely with each year of age: by `more_with_each_year`, 0.03 is 3 %."""

    store_id: str
    more_with_each_year: float = Field(gt=0, le=0.2)


class DarkTill(_Part):
    """A till whose camera sees next to nothing from a date on."""

    store_id: str
    till_id: str
    first_date: date


class Favourite(_Part):
    """A product category that buyers of some ages buy `times` as often as all buyers do."""

    product_category: str
    first_age_years: int = Field(ge=18)
    last_age_years: int
    times: float = Field(gt=1)


class DearerPrices(_Part):
    """From a date on, every article costs `times` as much."""

    first_date: date
    times: float = Field(gt=0)


class SampleChain(_Part):
    """The size of a chain, the habits of all its cashiers and tills, and what is planted. Defaults plant nothing."""

    store_count: int | None = Field(default=None, ge=1, le=9999)
    """Stores 0001, 0002, …, to which the receipts are dealt. None: the stores that the receipts are from."""
    tills_per_store: int | None = Field(default=None, ge=1, le=99)
    """None: more tills where there are more receipts."""
    receipts_per_day: int | None = Field(default=None, ge=10)
    """Each day has so many; those of other weeks fill it up. None: the receipts of the day."""
    alcohol_share: Share | None = None
    """Share of receipts with alcohol, if `receipts_per_day` is given. None: what the receipts have."""
    young_adult_share: Share | None = None
    """Share of adult buyers who are 18 to 24. If it is given, no buyer's age is that of the receipt's household."""
    rarely_asking_cashier_of: int = Field(default=6, ge=0)
    """One cashier of so many rarely asks for an ID; 0: none does."""
    silent_till_of: int = Field(default=10, ge=0)
    """One till of so many logs no ID checks; 0: all tills log them."""
    lax_cashier: LaxCashier | None = None
    older_store: OlderStore | None = None
    dark_till: DarkTill | None = None
    favourite: Favourite | None = None
    dearer_prices: DearerPrices | None = None

    @model_validator(mode="after")
    def _names_what_the_chain_has(self) -> SampleChain:
        if self.alcohol_share and not self.receipts_per_day:
            raise ValueError("alcohol_share needs receipts_per_day, or there is nothing to choose receipts for")
        stores = {store for store in (self.older_store, self.dark_till) if store}
        for named in stores:
            if self.store_count and named.store_id not in self.store_ids:
                raise ValueError(f"store '{named.store_id}' is none of the chain's: {', '.join(self.store_ids)}")
        cashiers = self.cashier_ids
        if self.lax_cashier and cashiers and self.lax_cashier.cashier_id not in cashiers:
            raise ValueError(
                f"cashier '{self.lax_cashier.cashier_id}' is none of the chain's: {', '.join(sorted(cashiers))}"
            )
        return self

    @property
    def store_ids(self) -> tuple[str, ...]:
        """The stores to which receipts are dealt; empty if they keep their own."""
        return tuple(f"{number:04d}" for number in range(1, (self.store_count or 0) + 1))

    @property
    def cashier_ids(self) -> frozenset[str]:
        """All cashiers of the chain; empty unless both stores and tills are counted."""
        numbers = range(1, 2 * (self.tills_per_store or 0) + 1)
        return frozenset(f"c{store_id}-{number}" for store_id in self.store_ids for number in numbers)

    def dark_till_on(self, business_date: date) -> tuple[str, str] | None:
        """Return store and till of the camera that sees next to nothing on a date, or None."""
        till = self.dark_till
        return (till.store_id, till.till_id) if till and business_date >= till.first_date else None

    def price_times(self, business_date: date) -> float:
        """Return the factor of all prices on a date."""
        dearer = self.dearer_prices
        return dearer.times if dearer and business_date >= dearer.first_date else 1.0

    def plants(self) -> Iterator[Plant]:
        """Yield what is planted, in words."""
        if lax := self.lax_cashier:
            yield Plant(
                f"cashier {lax.cashier_id} asks for an ID {lax.asks_times:g} times as often as the others",
                cashier_id=lax.cashier_id,
            )
        if older := self.older_store:
            share = f"{older.more_with_each_year:.0%}"
            yield Plant(
                f"store {older.store_id} has older buyers: each year of age makes a buyer {share} more likely",
                older.store_id,
            )
        if till := self.dark_till:
            yield Plant(
                f"the camera of till {till.store_id}/{till.till_id} is dark from {till.first_date} on",
                till.store_id,
                till.till_id,
            )
        if liked := self.favourite:
            ages = f"{liked.first_age_years} to {liked.last_age_years}"
            yield Plant(
                f"buyers of {ages} buy {liked.product_category} {liked.times:g} times as often as all buyers do"
            )
        if dearer := self.dearer_prices:
            yield Plant(f"all prices are {dearer.times:g} times as high from {dearer.first_date} on")


DEMO_CHAIN = SampleChain()
MONTH_FILE = Path(__file__).with_name("month.toml")


def read_chain(path: Path) -> SampleChain:
    """Read a chain from a TOML file. Raises InputError, with the file, the field and its value, if it is not one."""
    try:
        return SampleChain.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"chain file '{path}' cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"chain file '{path}' is not TOML: {error}; {MONTH_FILE.name} shows the form") from None
    except ValidationError as error:
        raise InputError(f"chain file '{path}': {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    field = ".".join(map(str, first["loc"]))
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return (
            f"it has a field '{field}' that no chain has; fields of SampleChain: {', '.join(SampleChain.model_fields)}"
        )
    if first["type"] == "missing":
        return f"the field '{field}' is missing"
    return f"field '{field}' = '{first['input']}': {said}" if field else said
