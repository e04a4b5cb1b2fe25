"""day_of_an_erasure: a landed day with somebody to erase."""

from __future__ import annotations

from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.sample_day.sample_faces import synthetic_face_photos
from jobs.warehouse.object_store import ObjectStore
from tests.given.rows import BUSINESS_DATE

HEADER = (
    "transaction_id,store_id,till_id,cashier_id,closed_at,line_number,line_type,sku,product_category,quantity,"
    "net_amount,currency,is_alcohol,id_check"
)
OF_THE_ERASED = """\
t2,0042,03,c1,2026-11-20T10:01:00Z,1,sale,s1,BEER,2,5.00,USD,true,not_asked
t2,0042,03,c1,2026-11-20T10:01:00Z,2,sale,s2,MILK,1,1.50,USD,false,
t2,0042,03,c1,2026-11-20T10:01:00Z,3,gift,s2,MILK,1,1.50,USD,false,
t2,0042,03,c1,2026-11-20T10:01:00Z,4,sale,s2,MILK,1,1.50,USD,false,,,,
"""
OF_OTHERS = """\
t1,0042,03,c1,2026-11-20T09:01:00Z,1,sale,s1,BEER,1,2.50,USD,true,not_asked
t3,0042,03,c1,2026-11-20T11:01:00Z,1,sale,s2,MILK,1,1.50,USD,false,
t2,0042,04,c2,2026-11-20T10:01:00Z,1,sale,s2,MILK,1,1.25,USD,false,
t2,0042,04,c2,2026-11-20T10:01:00Z,2,gift,s2,MILK,1,1.25,USD,false,
"""
OUTCOMES = f"reviewed_cases/business_date={BUSINESS_DATE}/monday.csv"


def photo_key(hour: str, till_id: str = "03") -> str:
    return f"{photos_folder(BUSINESS_DATE)}/store_id=0042/till_id={till_id}/20261120T{hour}0030Z.jpg"


def land_day(landing: ObjectStore) -> None:
    faces = synthetic_face_photos()([20, 13, 40, 60], [1, 2, 3, 4], 1)
    keys = [photo_key("09"), photo_key("10"), photo_key("11"), photo_key("10", "04")]
    for key, face in zip(keys, faces, strict=True):
        landing.write(key, face.content)
    receipts = f"{HEADER}\n{OF_OTHERS}{OF_THE_ERASED}"
    landing.write(f"{transactions_folder(BUSINESS_DATE)}/receipts.csv", receipts.encode())
    for day_folder in (photos_folder(BUSINESS_DATE), transactions_folder(BUSINESS_DATE)):
        landing.write(f"{day_folder}/{SUCCESS}", b"")
