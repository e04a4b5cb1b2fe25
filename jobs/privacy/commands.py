"""commands: the subcommands of `checkout-ages` for people's data: retain, erase and pseudonym."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import InputError
from jobs.landing.cashier_pseudonyms import cashier_pseudonyms
from jobs.settings import KEY_VARIABLE, read_settings
from jobs.terminal import (
    LandingUri,
    WarehouseUri,
    console,
    errors_as_exit_codes,
    pasteable,
    print_step,
    running_spark,
    say,
    show_log,
)
from jobs.warehouse.object_store import ObjectStore

app = typer.Typer()


@app.command()
def retain(
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="date to count back from; default: today")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="list what would be deleted, and delete nothing")] = False,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Delete photos older than CHECKOUT_AGES_PHOTO_RETENTION_DAYS from the landing, and record it in retention_runs.

    Example: checkout-ages retain --dry-run
    """
    from jobs.landing.deleted_photos import photos_of
    from jobs.privacy.retain import delete_photos, expired_days
    from jobs.warehouse.warehouse import Warehouse

    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        show_log()
        landing, store = ObjectStore(settings.landing_uri), ObjectStore(settings.warehouse_uri)
        store.check_reachable()
        day_zero = as_of.date() if as_of else datetime.now(settings.time_zone).date()
        retention_days, stale_seconds = settings.photo_retention_days, settings.lock_stale_seconds
        for day in expired_days(landing, day_zero, settings.time_zone, retention_days):
            if dry_run:
                console.print(f"{day}: {len(photos_of(landing, day))} photos would be deleted")
            else:
                run = Warehouse(store, f"retain-{day_zero}")
                gone = delete_photos(run, landing, day, retention_days, stale_seconds)
                console.print(f"{day}: {gone.photo_count} photos deleted, {gone.size_bytes} bytes")


@app.command(context_settings={"auto_envvar_prefix": "ERASE"})
def erase(
    transaction_id: Annotated[str | None, typer.Option(help="number of the person's receipt")] = None,
    photo_key: Annotated[str | None, typer.Option(help="key of the person's photo, as in checkout_photos")] = None,
    business_date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="day of the receipt; default: all published days are searched"),
    ] = None,
    store_id: Annotated[
        str | None, typer.Option(help="store of the receipt; only needed when several stores have this transaction id")
    ] = None,
    till_id: Annotated[
        str | None, typer.Option(help="till of the receipt; only needed when several tills have this transaction id")
    ] = None,
    with_transaction: Annotated[
        bool, typer.Option("--with-transaction", help="with --photo-key: erase the photo's transaction too")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="note for the erasure's records, such as a letter's number; name nobody in it")
    ] = None,
    proof: Annotated[Path | None, typer.Option(help="file to write a copy of the proof to")] = None,
    landing_uri: LandingUri = None,
    warehouse_uri: WarehouseUri = None,
) -> None:
    """Remove a person from all tables and delete the person's photos, for good, and write a proof of it.

    An option may be an environment variable instead, such as ERASE_TRANSACTION_ID: then no list of processes shows it.

    Example: checkout-ages erase --business-date 2026-11-20 --store-id 0042 --till-id 03 --transaction-id 4711
    """
    from jobs.privacy import erase as erasure
    from jobs.privacy.person_to_erase import Request, find_person
    from jobs.warehouse.warehouse import Warehouse

    request = Request(
        transaction_id=transaction_id,
        photo_key=photo_key,
        business_date=business_date.date() if business_date else None,
        store_id=store_id,
        till_id=till_id,
        with_transaction=with_transaction,
    )
    with errors_as_exit_codes():
        settings = read_settings(os.environ, landing_uri=landing_uri, warehouse_uri=warehouse_uri)
        landing = ObjectStore(settings.landing_uri)
        store = ObjectStore(settings.warehouse_uri, settings.largest_copy_bytes)
        landing.check_reachable()
        store.check_reachable()
        person = find_person(Warehouse(store, "erase"), landing, request)
        with running_spark(f"erase from {person.business_date}") as (session, status):
            status.update("erasing")
            proved = erasure.erase(Warehouse(store, "erase", session), landing, person, reason, settings, print_step)
    if proof:
        proof.parent.mkdir(parents=True, exist_ok=True)
        proof.write_text(json.dumps(proved, indent=2))
    say(
        f"erased from {person.business_date}: {proved['deleted_photo_count']} photos deleted from the landing; "
        f"{sum(proved['rows_found_before'].values())} rows were found before in "
        f"{len(proved['rows_found_before'])} files, and none is left in the {proved['searched_file_count']} files "
        f"searched; proof: {pasteable(erasure.proof_location(store, proved))}"
    )
    if request.photo_key and not person.erased.transactions:
        say("the transaction of the photo, if there is one, keeps its lines; --with-transaction erases it too")


@app.command()
def pseudonym(
    cashier_ids: Annotated[
        list[str], typer.Argument(help="cashier ids as on the receipts; - reads them from stdin, one per line")
    ],
) -> None:
    """Print the pseudonym of each cashier id, then the id, so that compliance can find out who a pseudonym is.

    Example: checkout-ages pseudonym - < staff_ids.txt | grep '^p7k2qm3xa-mfrggzdfmztwq2lknnwg23tpoa'
    """
    with errors_as_exit_codes():
        pseudonyms = cashier_pseudonyms(os.environ)
        if pseudonyms is None:
            raise InputError(f"no key: set {KEY_VARIABLE} to the key that the pseudonyms were made with")
    for cashier_id in sys.stdin.read().splitlines() if cashier_ids == ["-"] else cashier_ids:
        print(f"{pseudonyms.of(cashier_id.strip())}\t{cashier_id}")
