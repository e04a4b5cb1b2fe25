"""worker_errors: what a Python worker of Spark says a person can mend, raised again where the step was begun."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jobs import errors

TOLD = re.compile(r"^(?:jobs\.errors\.)(\w+Error): (.+)$", re.MULTILINE)
"""The last line of a worker's traceback; the sentence is one line, however odd the key in it."""


@contextmanager
def told_by_workers() -> Iterator[None]:
    """Raise an InputError of a worker as that error; what else fails in Spark passes as it is."""
    try:
        yield
    except Exception as failure:
        told = TOLD.findall(str(failure)) if _is_of_spark(failure) else []
        if not told:
            raise
        name, sentence = told[-1]
        raise getattr(errors, name)(sentence.strip()) from None


def _is_of_spark(failure: Exception) -> bool:
    spark = sys.modules.get("pyspark.errors")
    return spark is not None and isinstance(failure, spark.PySparkException)
