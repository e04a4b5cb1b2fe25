"""landed_records: results of the readers of CSV, JSON lines and Parquet: records, and lines that are not records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

BATCH_ROWS = 20_000
"""Rows of a batch. More take more memory in a Python worker; fewer cost more calls."""
LONGEST_QUOTED_LINE = 10_000
"""A rejected line is kept up to so many characters, or one bad file could fill the table of rejected lines."""


class Problem(NamedTuple):
    """A line that is not a record, or a file that cannot be read (line 0): its number, the reason and its text."""

    line: int
    words: str
    text: str


@dataclass(frozen=True)
class Records:
    """Records of a file as columns of text or bytes, with their line numbers, and the lines that are not records."""

    columns: pa.Table
    lines: np.ndarray
    problems: list[Problem] = field(default_factory=list)


def quoted_line(line: bytes) -> str:
    """Return the beginning of a line as text, as it is kept with the reason for its rejection."""
    return line[:LONGEST_QUOTED_LINE].decode(errors="replace").rstrip("\r\n")
