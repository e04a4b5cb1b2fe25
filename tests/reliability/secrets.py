"""secrets: search everything that a run leaves for planted credentials, keys and cashier ids.

Steps run as users run them: `checkout-ages night` over S3 with only the rights that a night needs, single steps, Spark
with its event log and UI, and Airflow with credentials from its connection. Each failure that could quote a secret is
tried too. Finds are written to findings.txt, by name and place.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from jobs.local_spark import local_spark_environment
from jobs.operations.demo import REPOSITORY, airflow_environment
from jobs.operations.render_readmes import PRIVACY
from jobs.settings import KEY_VARIABLE
from tests.reliability.secret_search import Search, Seen, files_of, forms_of, watched
from tests.servers.s3_server import Identity, free_port, running_s3_server

BUSINESS_DATE = date(2026, 11, 20)
SEARCHED = (
    ("command line", "java"),
    ("event log", "events_1"),
    ("lock on S3", f"business_date={BUSINESS_DATE}"),
    ("Spark UI", "page"),
    ("warehouse in passing", "part-0.parquet"),
    ("warehouse on S3", "warehouse/_staging"),
    ("warehouse on S3", "warehouse/transaction_lines"),
    ("warehouse on S3", "warehouse/cashier_alcohol_audit"),
    ("warehouse", "rejected_transaction_lines"),
)
SEARCHED_IF_NOT_QUICK = (
    ("output", "broken in Spark: stderr"),
    ("Airflow", "airflow.db"),
    ("output", "airflow tasks: stdout"),
    ("output", "airflow task that fails: stdout"),
)
"""Places that must have been searched. If one is missing, the search proves nothing."""
LANDING, WAREHOUSE, FORBIDDEN = "stores-landing", "tables-warehouse", "of-others"
CONTROL = "control"
SECRETS = {
    CONTROL: "Planted/0nPurpose+TobeFound=7Yq2",
    "secret key": "wJalr/XUtnFEMI+K7MDENG=bPxRfiCYzq8KEY",
    "refused secret key": "Kd93/mzQpWv+71xTrBn=Lq0YhFs2Uc6Eo",
    "session token": "FwoGZXIvYXdz/EBYaD+Gk3qLp=0Tn5XuVb8RcZs",
    "pseudonym key": "t9Vb/2LhQxW+5pRzKcYn=8MsDgJ4Fe7A-0Uo",
    "short pseudonym key": "Zq7/fB3n+Xw=short",
    "secret in a URI": "Gm5Yt8RkLw+Qz2Hd=VfXc6Np0SbJe",
    "secret in the endpoint": "Pv1Nc6WsTj+Ly9Xb=Rk4Zg3Qh7FmUd",
    "cashier id": "cashier-Xk49-Ludmila-Petrowna",
}
LANDED_LINES = f"""\
transaction_id,store_id,till_id,cashier_id,closed_at,line_number,line_type,sku,product_category,quantity,net_amount,\
currency,is_alcohol,id_check
t1,0042,03,{SECRETS["cashier id"]},2026-11-20T09:30:00Z,1,sale,s1,BEER,1,2.50,EUR,true,not_asked
t2,0042,03,{SECRETS["cashier id"]},2026-11-20T09:40:00Z,1,sale,s2,MILK,many,1.50,EUR,false,
t3;{SECRETS["cashier id"]};does;not;fit
"""
LANDED_LINES += "".join(  # enough sound lines that the broken ones do not stop the night
    f"t1,0042,03,{SECRETS['cashier id']},2026-11-20T09:30:00Z,{number},sale,s1,BEER,1,2.50,EUR,true,not_asked\n"
    for number in range(2, 40)
)
SPARK_DEFAULTS = """\
spark.master local[2]
spark.eventLog.enabled true
spark.eventLog.compress false
spark.eventLog.dir {events}
spark.shuffle.compress false
spark.shuffle.spill.compress false
spark.broadcast.compress false
spark.local.dir {scratch}
spark.executorEnv.{key_variable} {key}
"""
"""The last line is a wrong way to pass the key; Spark must hide it even then."""
SERVER_ACTIONS = {
    "s3:GetObject": "Read",
    "s3:ListBucket": "List",
    "s3:PutObject": "Write",
    "s3:DeleteObject": "Write",
    "s3:AbortMultipartUpload": "Write",
}
ARN = "arn:aws:s3:::"
NOBODY_LISTENS = 9


def night_identity() -> Identity:
    """Return an identity with only the rights of the nights' policy in jobs/privacy/README.md, as the server has it."""
    (policy,) = [policy for policy in readme_policies() if "s3:DeleteObject" in json.dumps(policy)]
    actions = {
        f"{SERVER_ACTIONS[action]}:{resource.removeprefix(ARN)}"
        for statement in policy["Statement"]
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }
    return Identity("night", "night-key-id", SECRETS["secret key"], tuple(sorted(actions)))


def readme_policies() -> list[dict[str, Any]]:
    """Return the bucket policies of jobs/privacy/README.md."""
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PRIVACY.read_text(), re.DOTALL)]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@dataclass
class Bench:
    """One search: its folder, its S3 server, the exit codes of its runs, and its planted controls."""

    folder: Path
    port: int
    identity: Identity
    search: Search
    ends: list[str] = field(default_factory=list)
    ended_otherwise: list[str] = field(default_factory=list)
    planted: set[tuple[str, str]] = field(default_factory=set)
    """Kinds of places and forms in which the control must be found."""

    @property
    def credentials(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.identity.key_id,
            "AWS_SECRET_ACCESS_KEY": self.identity.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            KEY_VARIABLE: SECRETS["pseudonym key"],
        }

    @property
    def scratch(self) -> dict[str, str]:
        return {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(self.folder / "tmp")}

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str], expected: int = 0) -> None:
        """Run a command to its end, expect this exit code, and search its output."""
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=REPOSITORY, env=dict(environment), capture_output=True, check=False, timeout=900
        )
        self.ends.append(f"{name}: exit code {done.returncode} after {time.monotonic() - started:.0f} s")
        if done.returncode != expected:
            self.ended_otherwise.append(f"{name}: exit code {done.returncode}, not {expected}")
        self.search.content("output", f"{name}: stdout", done.stdout)
        self.search.content("output", f"{name}: stderr", done.stderr)
        (self.folder / "output" / f"{name}.txt").write_bytes(done.stdout + done.stderr)

    def plant(self, kind: str, form: str = "plain") -> bytes:
        """Return the control in a form; it must be found at a place of this kind."""
        self.planted.add((kind, form))
        return forms_of(SECRETS[CONTROL])[form]


def measure(folder: Path, quick: bool = False) -> dict[str, int | float]:
    """Run everything; return the number of secrets found, of searched places, and of controls caught.

    `quick` leaves out Airflow and a failure inside Spark.
    """
    with _bench(folder) as bench:
        _run_night(bench)
        _run_with_ui(bench)
        _run_failing_steps(bench)
        _plant_in_files(bench)
        if not quick:
            _fail_in_spark(bench)
            _run_airflow(bench)
        for kind, part in (("event log", "events"), ("Spark UI", "ui"), ("warehouse", "warehouse")):
            bench.search.folder(kind, folder / part)
    return _figures(bench, SEARCHED if quick else SEARCHED + SEARCHED_IF_NOT_QUICK)


def _figures(bench: Bench, to_be_searched: Sequence[tuple[str, str]]) -> dict[str, int | float]:
    findings = sorted(bench.search.findings)
    caught = {(finding.kind, finding.form) for finding in findings if finding.secret == CONTROL}
    leaks = [finding for finding in findings if finding.secret != CONTROL]
    missed = [f"control not caught: {kind}, {form}" for kind, form in sorted(bench.planted - caught)]
    unsearched = [wanted for wanted in to_be_searched if not bench.search.has(*wanted)]
    missed += [f"not searched: {kind}, {part}" for kind, part in unsearched]
    lines = [*map(str, leaks), *missed, *bench.ended_otherwise, "", *bench.ends]
    (bench.folder / "findings.txt").write_text("\n".join(lines))
    for line in (*map(str, leaks), *missed, *bench.ended_otherwise):
        print(f"secrets: {line}", file=sys.stderr)
    places = sorted(f"{kind}: {place}" for kind, place in bench.search.places)
    (bench.folder / "places.txt").write_text("\n".join(places))
    return {
        "secrets_found": len({(finding.secret, finding.place) for finding in leaks}),
        "places_searched": len(bench.search.places),
        "places_missed": len(unsearched),
        "controls_planted": len(bench.planted),
        "controls_caught": len(bench.planted & caught),
        "runs_ended_otherwise": len(bench.ended_otherwise),
    }


@contextmanager
def _bench(folder: Path) -> Iterator[Bench]:
    for part in ("events", "ui", "tmp", "spark", "output", "conf", "landing", "warehouse"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    defaults = SPARK_DEFAULTS.format(
        events=(folder / "events").as_uri(),
        scratch=folder / "spark",
        key_variable=KEY_VARIABLE,
        key=SECRETS["pseudonym key"],
    )
    (folder / "conf" / "spark-defaults.conf").write_text(defaults)
    (folder / "s3").mkdir(exist_ok=True)
    port = free_port()
    buckets, identity = (LANDING, WAREHOUSE, FORBIDDEN), night_identity()
    with ExitStack() as stack:
        admin = stack.enter_context(running_s3_server(folder / "s3", port, [identity], buckets))
        for key, content in _landed_day().items():
            admin.put_object(Bucket=LANDING, Key=f"landing/{key}", Body=content)
            path = folder / "landing" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        bench = Bench(folder, port, identity, Search(SECRETS))
        passing = {
            "temporary file": files_of(folder / "tmp"),
            "Spark's scratch": files_of(folder / "spark"),
            "warehouse in passing": files_of(folder / "warehouse"),
            "warehouse on S3": _objects_of(admin, WAREHOUSE, "warehouse/"),
            "lock on S3": _objects_of(admin, WAREHOUSE, "warehouse/_locks/"),
        }
        stack.enter_context(watched(bench.search, passing))
        for kind, key in (("warehouse on S3", "_staging/planted.json"), ("lock on S3", "_locks/planted.json")):
            admin.put_object(Bucket=WAREHOUSE, Key=f"warehouse/{key}", Body=bench.plant(kind))
        yield bench


def _landed_day() -> dict[str, bytes]:
    photo = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(noise).save(photo, "JPEG")
    return {
        f"photos/business_date={BUSINESS_DATE}/store_id=0042/till_id=03/20261120T092930.000Z.jpg": photo.getvalue(),
        f"photos/business_date={BUSINESS_DATE}/_SUCCESS": b"",
        f"transactions/business_date={BUSINESS_DATE}/lines.csv": LANDED_LINES.encode(),
        f"transactions/business_date={BUSINESS_DATE}/_SUCCESS": b"",
    }


def _objects_of(client: Any, bucket: str, prefix: str) -> Callable[[], Iterator[Seen]]:
    """Return a function that yields objects that are new or have changed since its last call."""
    known: dict[str, str] = {}

    def changed_objects() -> Iterator[Seen]:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", ()):
                if known.get(entry["Key"]) != entry["ETag"]:
                    known[entry["Key"]] = entry["ETag"]
                    try:
                        yield entry["Key"], client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                    except client.exceptions.NoSuchKey:
                        continue

    return changed_objects


def _spark_environment(bench: Bench) -> dict[str, str]:
    own = ("AWS_", "CHECKOUT_AGES_", "SPARK_", "PYSPARK_", "AIRFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    spark = local_spark_environment(inherited)
    spark["SPARK_SUBMIT_OPTS"] += f" -Djava.io.tmpdir={bench.folder / 'tmp'}"
    return {**inherited, **spark, "SPARK_CONF_DIR": str(bench.folder / "conf"), **bench.scratch}


def _uris(landing_uri: str, warehouse_uri: str) -> dict[str, str]:
    return {"CHECKOUT_AGES_LANDING_URI": landing_uri, "CHECKOUT_AGES_WAREHOUSE_URI": warehouse_uri}


S3_URIS = _uris(f"s3://{LANDING}/landing", f"s3://{WAREHOUSE}/warehouse")


def _command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from jobs.cli import main; main()", *arguments, f"--business-date={BUSINESS_DATE}"]


def _step(name: str) -> list[str]:
    return [sys.executable, "-m", "jobs.run", name, "--business-date", str(BUSINESS_DATE), "--run-id", "searched"]


def _run_night(bench: Bench) -> None:
    """Run a whole night over S3, with an identity that may only read the landing and write the warehouse."""
    bench.run("night", _command_line("night"), _spark_environment(bench) | bench.credentials | S3_URIS)
    window = _command_line("cashier-window")
    bench.run("cashier window", window, _spark_environment(bench) | bench.credentials | S3_URIS)


def _run_with_ui(bench: Bench) -> None:
    """Run two steps with Spark's UI. The control is on Spark's command line, and so on all pages of the UI."""
    planted = {
        bench.plant(kind).decode() for kind in ("output", "command line", "event log", "Spark UI", "temporary file")
    }
    local = _uris((bench.folder / "landing").as_uri(), (bench.folder / "warehouse").as_uri())
    environment = _spark_environment(bench) | bench.credentials | local
    environment |= {"AWS_SESSION_TOKEN": SECRETS["session token"], "PLANTED": planted.pop()}
    environment["PYSPARK_SUBMIT_ARGS"] = f"--conf spark.planted={environment['PLANTED']} pyspark-shell"
    child = [sys.executable, "-m", "tests.reliability.spark_ui_child", str(bench.folder / "ui"), str(BUSINESS_DATE)]
    bench.run("with UI", [*child, "checkout_photos", "transaction_lines"], environment)


def _run_failing_steps(bench: Bench) -> None:
    """Fail in each way in which a message could quote its input."""
    fitting = _spark_environment(bench) | bench.credentials | S3_URIS
    in_uri, in_endpoint = SECRETS["secret in a URI"], SECRETS["secret in the endpoint"]
    refused = {
        "no bucket": {"CHECKOUT_AGES_WAREHOUSE_URI": "s3://no-such-bucket/warehouse"},
        "forbidden bucket": {"CHECKOUT_AGES_WAREHOUSE_URI": f"s3://{FORBIDDEN}/warehouse"},
        "wrong secret": {"AWS_SECRET_ACCESS_KEY": SECRETS["refused secret key"]},
        "token": {"AWS_SESSION_TOKEN": SECRETS["session token"]},
        "template": {"CHECKOUT_AGES_PHOTO_KEY_TEMPLATE": f"{{store_id}}/{SECRETS['secret key']}"},
        "URI": _uris(*2 * [f"s3://key:{in_uri}@no-such-bucket/folder"]),
        "endpoint": {"AWS_ENDPOINT_URL": f"http://key:{in_endpoint}@127.0.0.1:{NOBODY_LISTENS}"},
        "short key": {KEY_VARIABLE: SECRETS["short pseudonym key"]},
    }
    for name, variables in refused.items():
        bench.run(f"refused: {name}", _step("check_night"), fitting | variables, expected=2)
    bench.run("refused: URI of a night", _command_line("night"), fitting | refused["URI"], expected=2)


def _fail_in_spark(bench: Bench) -> None:
    """Fail in a Python worker: its traceback passes through the JVM."""
    forbidden_landing = S3_URIS | {"CHECKOUT_AGES_LANDING_URI": f"s3://{FORBIDDEN}/landing"}
    environment = _spark_environment(bench) | bench.credentials | forbidden_landing
    bench.run("broken in Spark", _step("checkout_photos"), environment, expected=2)


def _plant_in_files(bench: Bench) -> None:
    """Plant the control in each form, in a compressed column of a table, and in a staged file that is deleted again."""
    planted = b" ".join(bench.plant("output", form) for form in forms_of(SECRETS[CONTROL]))
    bench.search.content("output", "planted forms", planted)
    column = pa.table({"note": [bench.plant("warehouse").decode()] * 9})
    pq.write_table(column, bench.folder / "warehouse" / "planted.parquet", compression="zstd")
    staged = bench.folder / "warehouse" / "_staging" / "planted.json"
    staged.parent.mkdir(exist_ok=True)
    staged.write_bytes(bench.plant("warehouse in passing"))
    scratch = bench.folder / "spark" / "planted"
    scratch.write_bytes(bench.plant("Spark's scratch"))
    time.sleep(1)
    staged.unlink()
    scratch.unlink()


def _run_airflow(bench: Bench) -> None:
    """Run a sensor, a table and a table that fails through Airflow.

    The credentials are only in a connection of its database, which is searched too: they must be encrypted there.
    """
    home = bench.folder / "airflow"
    environment = airflow_environment(os.environ, home, *S3_URIS.values())
    environment = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    spark = _spark_environment(bench)
    environment |= {name: spark[name] for name in (*bench.scratch, "SPARK_CONF_DIR", "SPARK_SUBMIT_OPTS")}
    environment[KEY_VARIABLE] = SECRETS["pseudonym key"]
    bench.run("airflow db migrate", ["airflow", "db", "migrate"], environment)
    _import_connection(bench, environment)
    conf = {"business_date": str(BUSINESS_DATE), "note": bench.plant("Airflow").decode()}
    dag = ["airflow", "dags", "test", "checkout_ages_nightly", "--conf", json.dumps(conf), "--mark-success-pattern"]
    bench.run("airflow tasks", [*dag, "^(?!wait_for_business_date$|transaction_lines$).*"], environment)
    elsewhere = {"CHECKOUT_AGES_WAREHOUSE_URI": f"s3://{FORBIDDEN}/warehouse"}
    bench.run("airflow task that fails", [*dag, "^(?!checkout_photos$).*"], environment | elsewhere, expected=1)
    bench.search.folder("Airflow", home)


def _import_connection(bench: Bench, environment: Mapping[str, str]) -> None:
    """Give Airflow the connection in a file, because all users can see a command line."""
    credentials = bench.credentials
    connection = {
        "conn_type": "aws",
        "login": credentials["AWS_ACCESS_KEY_ID"],
        "password": credentials["AWS_SECRET_ACCESS_KEY"],
        "extra": json.dumps(
            {"endpoint_url": credentials["AWS_ENDPOINT_URL"], "region_name": credentials["AWS_REGION"]}
        ),
    }
    file = bench.folder / "connections.json"
    file.write_text(json.dumps({"checkout_ages_object_store": connection}))
    bench.run("airflow connections import", ["airflow", "connections", "import", str(file)], environment)
    file.unlink()


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), quick="--quick" in sys.argv), indent=2))
