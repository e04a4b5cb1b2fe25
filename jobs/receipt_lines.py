"""receipt_lines: the landing contract of a receipt line: text fields ► typed fields, and why a line breaks it."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from jobs.business_day import BusinessDay
from jobs.tables import AMOUNT, QUANTITY, TRANSACTION_LINES

LINE_TYPES = ("sale", "return", "void")
ID_CHECKS = ("shown", "refused_sale", "not_asked")
REQUIRED = (
    "transaction_id",
    "store_id",
    "till_id",
    "cashier_id",
    "closed_at",
    "line_number",
    "line_type",
    "sku",
    "product_category",
    "quantity",
    "net_amount",
    "currency",
    "is_alcohol",
)
INSTANT_TEXT = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d"


def judge_receipt_lines(landed_lines: DataFrame, day: BusinessDay) -> DataFrame:
    """Type each landed line and give it a `rejection_reason`, null where the line keeps the contract of the day.

    Of lines with the same key the first by file and position is kept; the others are duplicates.
    """
    trimmed = landed_lines.select(
        "source_file",
        "line_in_file",
        "parse_problem",
        "unparsed_line",
        F.struct(*(_filled(name).alias(name) for name in _fields(landed_lines))).alias("landed"),
    )
    typed = trimmed.select("*", *_typed_fields())
    judged = typed.withColumn("rejection_reason", _broken_rules(day))
    return judged.withColumn("rejection_reason", F.coalesce("rejection_reason", _duplicate_of()))


def _fields(landed_lines: DataFrame) -> list[str]:
    marks = ("source_file", "line_in_file", "parse_problem", "unparsed_line")
    return [name for name in landed_lines.columns if name not in marks]


def _filled(name: str) -> Column:
    """Text without surrounding blanks; blank counts as missing."""
    return F.nullif(F.trim(F.col(name)), F.lit(""))


def _typed_fields() -> list[Column]:
    return [
        *(F.col(f"landed.{name}") for name in ("transaction_id", "store_id", "till_id", "cashier_id")),
        _instant("opened_at"),
        _instant("closed_at"),
        F.col("landed.line_number").try_cast("int").alias("line_number"),
        *(F.col(f"landed.{name}") for name in ("line_type", "sku", "product_category")),
        _exact("quantity", QUANTITY.precision, QUANTITY.scale),
        _exact("net_amount", AMOUNT.precision, AMOUNT.scale),
        F.col("landed.currency"),
        F.col("landed.is_alcohol").try_cast("boolean").alias("is_alcohol"),
        F.col("landed.id_check"),
    ]


def _instant(name: str) -> Column:
    text = F.col(f"landed.{name}")
    return F.when(text.rlike(INSTANT_TEXT), text.try_cast("timestamp")).alias(name)


def _exact(name: str, precision: int, scale: int) -> Column:
    """A decimal that is written out and loses nothing at this scale."""
    text = F.col(f"landed.{name}")
    written_out = text.rlike(rf"^[+-]?\d{{1,{precision - scale}}}(\.\d{{0,{scale}}}0*)?$")
    return F.when(written_out, text.try_cast(f"decimal({precision},{scale})")).alias(name)


def _broken_rules(day: BusinessDay) -> Column:
    """All broken rules of a line in words, null when there is none."""
    rules = [
        *(_rule(F.col(f"landed.{name}").isNull(), F.lit(f"{name} is missing")) for name in REQUIRED),
        *(_unreadable(name, kind) for name, kind in _KINDS.items()),
        _not_one_of("line_type", LINE_TYPES),
        _not_one_of("id_check", ID_CHECKS),
        _rule(F.col("line_number") < 1, F.lit("line_number is under 1")),
        _rule(F.col("opened_at") > F.col("closed_at"), F.lit("opened_at is after closed_at")),
        _rule(F.col("opened_at") < day.begins_at, _quoted("opened_at", F.col("landed.opened_at"), day.other_date)),
        _of_another_date(day),
    ]
    return F.coalesce(F.col("parse_problem"), F.nullif(F.concat_ws("; ", *rules), F.lit("")))


_KINDS = {
    "opened_at": "a time such as 2026-11-20T18:30:15Z",
    "closed_at": "a time such as 2026-11-20T18:30:15Z",
    "line_number": "a whole number",
    "quantity": f"a decimal with at most {QUANTITY.scale} places",
    "net_amount": f"a decimal with at most {AMOUNT.scale} places",
    "is_alcohol": "true or false",
}


def _rule(is_broken: Column, words: Column) -> Column:
    return F.when(is_broken, words)


def _unreadable(name: str, kind: str) -> Column:
    text = F.col(f"landed.{name}")
    return _rule(text.isNotNull() & F.col(name).isNull(), _quoted(name, text, f"is not {kind}"))


def _not_one_of(name: str, allowed: tuple[str, ...]) -> Column:
    text = F.col(f"landed.{name}")
    return _rule(~text.isin(*allowed), _quoted(name, text, f"is none of {', '.join(allowed)}"))


def _quoted(name: str, text: Column, complaint: str) -> Column:
    return F.concat(F.lit(f"{name} '"), F.substring(text, 1, 60), F.lit(f"' {complaint}"))


def _of_another_date(day: BusinessDay) -> Column:
    closed_at = F.col("closed_at")
    is_held = (closed_at >= F.lit(day.begins_at)) & (closed_at < F.lit(day.ends_at))
    return _rule(~is_held, _quoted("closed_at", F.col("landed.closed_at"), day.other_date))


def _duplicate_of() -> Column:
    """Name the earlier line with the same key, among the lines that break no other rule."""
    is_valid = F.col("rejection_reason").isNull()
    same_key = Window.partitionBy(is_valid, *TRANSACTION_LINES.key).orderBy("source_file", "line_in_file")
    first_line = F.concat_ws(" of ", F.first("line_in_file").over(same_key), F.first("source_file").over(same_key))
    is_later = is_valid & (F.row_number().over(same_key) > 1)
    return F.when(is_later, F.concat(F.lit("has the key of line "), first_line))
