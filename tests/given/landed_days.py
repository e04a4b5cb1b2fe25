"""landed_days: small days as stores deliver them, of some receipts with a photo each."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.warehouse.object_store import ObjectStore

HEADER = (
    "transaction_id,store_id,till_id,cashier_id,closed_at,line_number,line_type,sku,product_category,quantity,"
    "net_amount,currency,is_alcohol,id_check"
)


def land_small_day(
    landing: ObjectStore, business_date: date, receipt_count: int = 3, *, dated: date | None = None, photo: bytes = b""
) -> None:
    """Land receipts of one till, each with a photo, and the day's marks. `dated`: the receipts say another day.

    An empty photo has no estimate, so a night of such days loads no network.
    """
    lines, noon = [HEADER], datetime.combine(dated or business_date, time(9), UTC)
    for number in range(receipt_count):
        closed_at = noon + timedelta(minutes=number)
        lines.append(
            f"t{number},0042,03,c{number % 2},{closed_at.isoformat()},1,sale,s1,BEERS/ALES,1,2.50,USD,true,not_asked"
        )
        taken_at = datetime.combine(business_date, closed_at.time(), UTC) - timedelta(seconds=20)
        key = f"{photos_folder(business_date)}/store_id=0042/till_id=03/{taken_at:%Y%m%dT%H%M%S}.000Z.jpg"
        landing.write(key, photo)
    landing.write(f"{transactions_folder(business_date)}/receipts.csv", "\n".join(lines).encode())
    for folder in (photos_folder, transactions_folder):
        landing.write(f"{folder(business_date)}/{SUCCESS}", b"")
