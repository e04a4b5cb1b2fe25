"""table: the class of a table, the types of its columns, and the columns that several tables share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

TEXT = pa.string()
COUNT = pa.int64()
YEARS = pa.float64()
EXPECTED = pa.float64()
PROBABILITY = pa.float64()
ESTIMATE = pa.float64()
INSTANT = pa.timestamp("us", tz="UTC")
QUANTITY = pa.decimal128(18, 3)
AMOUNT = pa.decimal128(18, 2)
QUANTITY_SUM = pa.decimal128(28, 3)
AMOUNT_SUM = pa.decimal128(28, 2)
DISTRIBUTION = pa.list_(pa.float32())
RESAMPLED_DISTRIBUTIONS = pa.list_(DISTRIBUTION)
REASON_COUNTS = pa.map_(TEXT, COUNT)


@dataclass(frozen=True)
class Table:
    """A table: its name, what one row is, which columns make a row unique, and what each column means."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[pa.Field, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with each column's meaning in its metadata. Any column may be null for a reader."""
        return pa.schema(self.columns, metadata={"table": self.name, "grain": self.grain, "key": ",".join(self.key)})

    @property
    def column_names(self) -> list[str]:
        """The names of the table's columns, in order."""
        return [field.name for field in self.columns]

    def schema_of(self, names: Iterable[str]) -> pa.Schema:
        """Return the Arrow schema of some columns, in the order of their names."""
        return pa.schema([self.schema.field(name) for name in names])

    def schema_without(self, *names: str) -> pa.Schema:
        """Return the Arrow schema without some columns, such as those that staging adds."""
        return pa.schema([field for field in self.columns if field.name not in names])


def column(name: str, kind: pa.DataType, meaning: str) -> pa.Field:
    """Return an Arrow field for one column of a table, with the column's meaning in its metadata."""
    return pa.field(name, kind, metadata={"meaning": meaning})


def meaning(field: pa.Field) -> str:
    """Return the meaning of a column, which `column` put into its metadata."""
    words: bytes = (field.metadata or {}).get(b"meaning", b"")
    return words.decode()


def _estimated_columns(name: str, words: str) -> tuple[pa.Field, ...]:
    """Describe an estimate and the ends of its interval."""
    return (
        column(f"estimated_{name}", ESTIMATE, words),
        column(f"estimated_{name}_low", ESTIMATE, "lower end of its 90 % interval; null for the group 'suppressed'"),
        column(f"estimated_{name}_high", ESTIMATE, "upper end of its 90 % interval; null for the group 'suppressed'"),
    )


BUSINESS_DATE = column(
    "business_date", pa.date32(), "the stores' day that the row is about; for a window, its last day; partition column"
)
"""A column of every table; it is in the name of the folder, not in the file."""
RUN_ID = column("run_id", TEXT, "night run that wrote the row; join tables of one day on it too")
MODEL_VERSION = column("model_version", TEXT, "age model that the run used")
INFERENCE_ENGINE = column("inference_engine", TEXT, "what ran the age model: openvino or tensorflow")
FILE_LINE_COLUMNS = (
    column("source_file", TEXT, "object key of the file under the landing URI"),
    column(
        "line_in_file",
        COUNT,
        "line of the file, from 1 (a CSV's header), or row of a Parquet file; 0 for the file as a whole",
    ),
)
TRANSACTION_KEY = ("store_id", "till_id", "transaction_id")
TRANSACTION_KEY_COLUMNS = (
    column("store_id", TEXT, "store that rang up the sale"),
    column("till_id", TEXT, "till in the store"),
    column("transaction_id", TEXT, "number of the receipt, unique within the till and day"),
)
AGE_COLUMNS = (
    column("estimated_age_years", YEARS, "estimated age of the buyer; off by four to five years on average"),
    column("estimated_age_low_years", YEARS, "lower end of the 90 % interval of the age"),
    column("estimated_age_high_years", YEARS, "upper end of the 90 % interval of the age"),
)
ESTIMATE_COLUMNS = (
    *AGE_COLUMNS,
    column("under_18_probability", PROBABILITY, "calibrated estimate of P(age under 18)"),
)
LEGAL_PURCHASE_AGE_YEARS = column(
    "legal_purchase_age_years", pa.int32(), "the setting that applied: age of the youngest lawful buyer"
)
UNDER_LEGAL_AGE_PROBABILITY = column(
    "under_legal_age_probability",
    PROBABILITY,
    "P(age under the legal age), corrected for the ages of the day's alcohol buyers. It is too high where far fewer "
    "people buy just under the legal age than just over it, because photos do not show such a step in the ages",
)
UNDER_CHALLENGE_AGE_PROBABILITY = column(
    "under_challenge_age_probability", PROBABILITY, "P(age under the challenge age), corrected in the same way"
)
CASE_ID = column("case_id", TEXT, "id of the sale for reviewers: a hash of its date and key, the same in every run")

WINDOW_RUN_ID = column("run_id", TEXT, "run of the DAG cashier_alcohol_window that wrote the row")
WINDOW_FIRST_DATE = column("window_first_date", pa.date32(), "first day of the window; business_date is its last")
NIGHT_RUN_IDS = column("run_ids", pa.list_(TEXT), "runs of the nights that the window was made from, in order of days")
