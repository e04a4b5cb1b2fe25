"""Erases a person for good: the rows in all tables and partitions, and the photos in the landing; writes a proof.

**When.** Only when someone triggers it, with a receipt or a photo:

    airflow dags trigger checkout_ages_erasure --conf '{"transaction_id": "4711", "store_id": "0042", "till_id": "03",
        "business_date": "2026-11-20"}'
    airflow dags trigger checkout_ages_erasure --conf '{"photo_key": "photos/business_date=2026-11-20/…jpg"}'

A receipt's id alone is enough if only one receipt has it. Airflow keeps the parameters of a run: delete the run
afterwards if the id must not stay there either.

**What.** One task, `checkout-ages erase`, a Spark application. It writes a tombstone, a record of the erased keys'
hashes that every later run of the day respects. It deletes the person's photos, publishes the day again without the
person, by the night's own steps, and rebuilds the windows that contain the day. Then it searches all files and writes
the proof; the last line of its log says where the proof is.

**Which exit code means what.** 0 done, and proved; 1 a check failed, or the person was still found, retried twice; 2
bad input, such as an id that several receipts have: the sentence in the log names the candidates.

**Recover.** A killed or failed task can be cleared at any time: it finds its tombstone and continues from there.

**Credentials** of the object store and Spark's master are those of `checkout_ages_nightly`.
"""

from __future__ import annotations

from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, Param
from job_tasks import DEFAULT_ARGS, business_date_param

CLI_PY = Path(__file__).resolve().parent.parent / "jobs" / "cli.py"
NAMED = {
    "transaction_id": "number of the person's receipt",
    "photo_key": "or key of the person's photo, as in checkout_photos",
    "store_id": "store of the receipt; only needed when several stores have this transaction id",
    "till_id": "till of the receipt; only needed when several tills have this transaction id",
    "reason": "note for the erasure's records, such as a letter's number; name nobody in it",
}


def variable(name: str) -> tuple[str, str]:
    """Return the environment variable of a command's option, and the Jinja template of its value.

    The value is passed in the environment, so that no shell, list of processes or log shows it.
    """
    return f"ERASE_{name.upper()}", f"{{{{ '' if params.{name} is none else params.{name} }}}}"


with DAG(
    "checkout_ages_erasure",
    description="Removes a person from all tables and deletes the person's photos, for good",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        **business_date_param("day of the receipt; if empty, all published days are searched"),
        **{name: Param(None, type=["null", "string"], description=words) for name, words in NAMED.items()},
        "with_transaction": Param(
            False, type="boolean", description="with photo_key: erase the photo's transaction too"
        ),
    },
    default_args=DEFAULT_ARGS,
    tags=["checkout-ages"],
):
    erase = SparkSubmitOperator(
        task_id="erase",
        name="checkout-ages erase",
        application=str(CLI_PY),
        application_args=["erase"],
        env_vars=dict(map(variable, ("business_date", *NAMED, "with_transaction"))),
    )
