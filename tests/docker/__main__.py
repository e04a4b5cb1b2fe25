"""docker: build the images and run a night in them, with docker or podman. `make docker-test` runs it.

The night is given too little time, to see that Airflow says so; then the day is backfilled, in the pool of backfills.
Exit code 0 when the night's tables are right and the images hold what they should, 1 when not, 2 without an engine.
BASE_IMAGE names the base image; --keep leaves the containers running and says where the UI is.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory

from rich.console import Console

from tests.docker.airflow_client import Airflow, NightFailedError
from tests.docker.engine import Engine, NoEngineError, find_engine
from tests.docker.published_day import complaints
from tests.docker.screenshots import take_screenshots
from tests.servers.s3_server import free_port

PROJECT = "checkout-ages-test"
BUSINESS_DATE = "2026-11-20"
NIGHT = "checkout_ages_nightly"
DEADLINE_SECONDS = 30
LATE = re.compile(rf"{NIGHT}: run \S+ is late")
BACKFILL_POOL = "checkout_ages_backfill"
IMAGES = {
    "checkout-ages-airflow": ("airflow.Dockerfile", ()),
    "checkout-ages-spark": ("spark.Dockerfile", ()),
    "checkout-ages-postgres": ("trial.Dockerfile", ("--target", "postgres")),
    "checkout-ages-object-store": ("trial.Dockerfile", ("--target", "object-store")),
}
MODULES_WITHIN = {
    "checkout-ages-airflow": {"airflow": True, "pyspark": True, "jobs": True, "openvino": False, "tensorflow": False},
    "checkout-ages-spark": {"airflow": False, "pyspark": True, "jobs": True, "openvino": True, "tensorflow": False},
}
FIND_MODULES = "import importlib.util as i, sys; print(*[m for m in sys.argv[1:] if i.find_spec(m)])"

console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def main() -> int:
    """Build and inspect the images, run the night, check its tables; return the exit code."""
    arguments = _arguments()
    with TemporaryDirectory(prefix="checkout-ages-") as folder:
        try:
            engine = find_engine(Path(folder))
        except NoEngineError as error:
            console.print(f"error: {error}")
            return 2
        build(engine)
        found = contents(engine)
        if not found:
            with running(engine, arguments.keep) as (airflow, store):
                found = night(engine, airflow, store, arguments.screenshots) or backfill(engine, airflow)
    for complaint in found:
        console.print(complaint, style="red")
    console.print(f"{1 if found else 0} failed, {0 if found else 1} passed")
    return 1 if found else 0


def build(engine: Engine) -> None:
    """Build all images on one base, and print their sizes."""
    base = engine.base_image()
    console.print(f"{engine.name}, on {base}")
    for image, (dockerfile, options) in IMAGES.items():
        started = time.monotonic()
        size_bytes = engine.build(image, dockerfile, base, *options)
        console.print(f"{image:28}{size_bytes / 1e6:8.0f} MB{time.monotonic() - started:8.0f} s")


def contents(engine: Engine) -> list[str]:
    """Return faults of the images: content that should not be there, missing content, a wrong user."""
    found = []
    for image, expected in MODULES_WITHIN.items():
        held = engine.run("run", "--rm", "--network=none", image, "python3", "-c", FIND_MODULES, *expected).split()
        found += [
            f"{image} {'lacks' if wanted else 'holds'} {module}"
            for module, wanted in expected.items()
            if wanted != (module in held)
        ]
    for image in IMAGES:
        user = engine.run("run", "--rm", "--network=none", image, "id", "-u").strip()
        found += [f"{image} runs as root"] if user == "0" else []
    return found


@contextmanager
def running(engine: Engine, keep: bool) -> Iterator[tuple[Airflow, Mapping[str, str]]]:
    """Start all containers with new passwords; yield Airflow and the object store's environment."""
    secrets = {name: token_urlsafe(24) for name in _SECRET_NAMES}
    secrets["AIRFLOW_FERNET_KEY"] = urlsafe_b64encode(os.urandom(32)).decode()
    ports = {"AIRFLOW_PORT": str(free_port()), "S3_PORT": str(free_port())}
    project = {"COMPOSE_PROJECT_NAME": PROJECT}
    deadline = {"CHECKOUT_AGES_NIGHT_DEADLINE_SECONDS": str(DEADLINE_SECONDS)}
    engine = replace(engine, environment={**engine.environment, **secrets, **ports, **project, **deadline})
    store = {name: secrets[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")} | {
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['S3_PORT']}",
    }
    airflow = Airflow(f"http://127.0.0.1:{ports['AIRFLOW_PORT']}", "admin", secrets["AIRFLOW_ADMIN_PASSWORD"])
    try:
        engine.run_compose("up", "--detach", "--no-build")
        yield airflow, store
    finally:
        if keep:
            console.print(f"left running: {airflow.url}, user admin, password {airflow.password}; {store}")
        else:
            engine.run_compose("down", "--volumes")


def night(engine: Engine, airflow: Airflow, store: Mapping[str, str], screenshots: Path | None) -> list[str]:
    """Run the sample day's night on the containers' scheduler and Spark; return its faults."""
    started = time.monotonic()
    try:
        airflow.wait_until_up()
        console.print(f"{'Airflow is up after':28}{time.monotonic() - started:8.0f} s")
        found = [] if airflow.refuses("admin", "admin") else ["the UI takes the password admin"]
        run_id = airflow.run_dag(NIGHT, BUSINESS_DATE)
    except NightFailedError as error:
        return [str(error), *_last_lines(engine)]
    console.print(f"{'the night is out after':28}{time.monotonic() - started:8.0f} s")
    if screenshots:
        take_screenshots(airflow, NIGHT, run_id, screenshots)
    said = engine.logs(_container(engine, "airflow-scheduler"))
    if not LATE.search(said) or "Callback execution failed" in said:
        found.append(f"the scheduler does not say that a night of over {DEADLINE_SECONDS} s is late, or fails at it")
    os.environ |= store
    return found + complaints("s3://checkout-ages", BUSINESS_DATE)


def backfill(engine: Engine, airflow: Airflow) -> list[str]:
    """Backfill the published day; return the faults, such as tasks outside of the pool."""
    started = time.monotonic()
    try:
        pools = airflow.backfill(NIGHT, BUSINESS_DATE)
    except NightFailedError as error:
        return [str(error), *_last_lines(engine)]
    console.print(f"{'the day is backfilled after':28}{time.monotonic() - started:8.0f} s")
    outside = [f"{task} of the backfill ran in pool '{pool}'" for task, pool in pools.items() if pool != BACKFILL_POOL]
    return outside + complaints("s3://checkout-ages", BUSINESS_DATE, run_count=2)


def _container(engine: Engine, service: str) -> str:
    return engine.run("ps", "--format", "{{.Names}}", "--filter", f"name={PROJECT}.{service}").strip()


def _last_lines(engine: Engine) -> list[str]:
    names = engine.run("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={PROJECT}").split()
    return [f"--- {name}\n{engine.logs(name, '--tail', '15')}" for name in names]


_SECRET_NAMES = (
    *("AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_API_SECRET_KEY", "AIRFLOW_JWT_SECRET"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "POSTGRES_PASSWORD"),
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="write pictures of Airflow's UI there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
