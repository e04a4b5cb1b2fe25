"""Airflow reads its configuration when it is first imported, so its home is set before any test module is.

Like Airflow, tests have the folder of the DAGs on the path of modules.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-of-tests-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
sys.path.append(str(Path(__file__).parents[2] / "dags"))
