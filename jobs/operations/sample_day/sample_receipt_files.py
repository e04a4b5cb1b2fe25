"""sample_receipt_files: writes receipt lines as stores deliver them: Parquet, gzipped CSV, JSON lines, some broken."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.landing.landed_files import RECEIPT_FIELDS
from jobs.schemas.landed import TRANSACTION_LINES

PARQUET_FILE = "part-0.parquet"
CSV_FILE = "part-1.csv.gz"
JSON_FILE = "part-2.jsonl"
TRANSACTIONS_PER_FILE_ROUND = 10
"""Of ten transactions eight go to Parquet, one to CSV and one to JSON lines."""
FIRST_BROKEN_LINE_NUMBER = 901

Record = dict[str, Any]


def receipt_files(lines: pd.DataFrame) -> tuple[dict[str, bytes], pd.DataFrame]:
    """Return the bytes of receipt files by name, and a row for each line that is broken on purpose.

    The rows have transaction_id, line_number and fault. Each good line is in one file, once. Broken lines are
    additional: each repeats a good line under a new line number, with a missing field, a wrong type or a cut end. One
    line is an exact repeat.
    """
    position = pd.factorize(lines["transaction_id"])[0] % TRANSACTIONS_PER_FILE_ROUND
    in_csv, in_json = position == TRANSACTIONS_PER_FILE_ROUND - 2, position == TRANSACTIONS_PER_FILE_ROUND - 1
    in_parquet = ~in_csv & ~in_json
    csv_records, json_records = _as_text(lines[in_csv]), _as_text(lines[in_json])
    faults = [
        {**_broken_copy(csv_records[0], 1, sku=None), "fault": "missing_field"},
        {**_broken_copy(csv_records[-1], 2, net_amount="ten"), "fault": "wrong_type"},
        {**_broken_copy(json_records[0], 3, quantity="two"), "fault": "wrong_type"},
        {**_as_text(lines[in_parquet].head(1))[0], "fault": "duplicate_key"},
        {**_broken_copy(json_records[-1], 4), "fault": "broken_json"},
    ]
    files = {
        PARQUET_FILE: _parquet(lines[in_parquet]),
        CSV_FILE: _zipped_csv([*csv_records, *faults[:2]]),
        # The last record is cut off in the middle and has no line end, as if the till had lost its connection.
        JSON_FILE: _json_lines([*json_records, *faults[2:4]]) + _json_lines(faults[4:])[:150],
    }
    return files, pd.DataFrame(faults)[["transaction_id", "line_number", "fault"]]


def _broken_copy(record: Record, number: int, **broken: object) -> Record:
    return {**record, "line_number": FIRST_BROKEN_LINE_NUMBER + number - 1, **broken}


def _as_text(lines: pd.DataFrame) -> list[Record]:
    """Return records with times and decimals written out, because a JSON number would be rounded."""
    texts = lines[list(RECEIPT_FIELDS)].astype({"quantity": str, "net_amount": str})
    for column in ("opened_at", "closed_at"):
        texts[column] = lines[column].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    return [dict(zip(RECEIPT_FIELDS, row, strict=True)) for row in texts.itertuples(index=False)]


def _parquet(lines: pd.DataFrame) -> bytes:
    schema = TRANSACTION_LINES.schema_of(RECEIPT_FIELDS)
    parquet = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(lines, schema, preserve_index=False), parquet)
    return parquet.getvalue()


def _zipped_csv(records: list[Record]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, RECEIPT_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "is_alcohol": str(record["is_alcohol"]).lower()} for record in records)
    # Without a time in the header, the same lines give the same bytes.
    return gzip.compress(text.getvalue().encode(), mtime=0)


def _json_lines(records: list[Record]) -> bytes:
    rows = ({name: record[name] for name in RECEIPT_FIELDS if record[name] is not None} for record in records)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
