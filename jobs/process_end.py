"""process_end: a process that has done its work ends with its own exit code, whatever its libraries do at the end.

While Python is torn down, a thread of Arrow that still holds one of Python's objects aborts the process about once in
a hundred times (apache/arrow#34314), and Airflow takes a day that is published for a task that failed.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

OUTPUT_LOST = 120
"""Python's own exit code where the last of what was printed could not be written."""


def end_process(exit_code: int) -> NoReturn:
    """Write out what is printed and logged, and end without tearing Python down; nothing may be left to do."""
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        exit_code = exit_code or OUTPUT_LOST
    os._exit(exit_code)
