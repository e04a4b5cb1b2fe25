"""landed_records: what the reader of a format yields: records of text, and lines that are no records."""

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
    """A line that is no record, or a whole file (line 0), with what is wrong and its text."""

    line: int
    words: str
    text: str


@dataclass(frozen=True)
class Records:
    """Columns of text or bytes, the line number of each record in its file, and the lines that are no records."""

    columns: pa.Table
    lines: np.ndarray
    problems: list[Problem] = field(default_factory=list)


def quoted_line(line: bytes) -> str:
    """Return the beginning of a line, as it is kept with the reason."""
    return line[:LONGEST_QUOTED_LINE].decode(errors="replace").rstrip("\r\n")
