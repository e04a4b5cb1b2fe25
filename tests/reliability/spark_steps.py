"""spark_steps: a long-lived driver: it runs a step for each line on stdin, and answers with the error or null."""

from __future__ import annotations

import json
import os
import sys

from jobs.settings import read_settings
from jobs.spark import spark_session
from jobs.steps.order import module_of
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE


def main() -> None:
    """Serve until stdin ends. Spark's output is redirected to stderr."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        session = spark_session("kill points")
        for line in sys.stdin:
            step, run_id, environment = json.loads(line)
            settings = read_settings(environment)
            warehouse = Warehouse(
                ObjectStore(settings.warehouse_uri), run_id, session, model_version=settings.model_version
            )
            try:
                module_of(step).run(warehouse, BUSINESS_DATE, settings)
                wrong = None
            except Exception as error:  # a killed worker may cause any error
                wrong = f"{type(error).__name__}: {str(error)[:300]}"
            print(json.dumps(wrong), file=answers, flush=True)


if __name__ == "__main__":
    main()
