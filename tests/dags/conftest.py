"""Airflow reads its configuration when it is first imported, so its home is set before any test module is.

Like Airflow, tests have the folder of the DAGs on the path of modules. A test module of a DAG names its `DAG_FILE`.
"""

import ast
import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"
airflow_home = tempfile.mkdtemp(prefix="airflow-of-tests-")
atexit.register(shutil.rmtree, airflow_home, ignore_errors=True)
os.environ.setdefault("AIRFLOW_HOME", airflow_home)
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
sys.path.append(str(DAGS))


@pytest.fixture(scope="module")
def load_dag_file(request: pytest.FixtureRequest) -> Callable[[], ModuleType]:
    """How to load the module's DAG file; each call loads it again."""
    path = DAGS / request.module.DAG_FILE

    def load() -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="module")
def dag_file(load_dag_file: Callable[[], ModuleType]) -> ModuleType:
    return load_dag_file()


@pytest.fixture(scope="module")
def dag(dag_file: ModuleType) -> Any:
    """The DAG that the file defines."""
    from airflow.sdk import DAG

    return next(value.dag for value in vars(dag_file).values() if isinstance(getattr(value, "dag", None), DAG))


@pytest.fixture(scope="module")
def scheduled(dag: Any) -> Any:
    """The DAG as the scheduler knows it."""
    from airflow.serialization.serialized_objects import DagSerialization

    return DagSerialization.deserialize_dag(DagSerialization.serialize_dag(dag))


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest) -> set[str]:
    """What the module's DAG file imports, but for the standard library."""
    nodes = list(ast.walk(ast.parse((DAGS / request.module.DAG_FILE).read_text())))
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module).split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    return imported - set(sys.stdlib_module_names)
