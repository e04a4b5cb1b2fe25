"""copy_in_parts: copies an object of S3 that is too large to be copied in one request, without fetching it.

The store copies ranges of the object as the parts of a multipart upload, some at a time. The target appears when the
upload is completed, whole, and until then the old object stays. boto3 does this, and nothing else here: obstore, with
which `object_store` does all the rest, copies in one request only.

A copy that fails is aborted. A killed one leaves an unfinished upload, which no listing shows: a lifecycle rule of the
bucket must delete it, as it does for all other unfinished uploads.
"""

from __future__ import annotations

import os
from urllib.parse import unquote, urlsplit

from jobs.errors import ReplacedError

PART_BYTES = 256 * 1024**2
"""With larger parts, more is copied again after a failure; with smaller ones, a copy takes more requests."""
PARTS_AT_A_TIME = 8
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 120.0
"""Seconds in which the store must answer. Some stores say nothing until they have copied a whole part."""
ATTEMPTS = 6


def copy_in_parts(bucket_uri: str, source_key: str, target_key: str, most_part_bytes: int) -> None:
    """Copy an object over another below the same s3:// URI, in parts of at most `most_part_bytes`.

    The store's least size of a part is 5 MiB. Raises ReplacedError when the source is replaced meanwhile, and OSError
    with the store's words when the copy fails; the target is then as it was.
    """
    # Imported here: the import takes a second, and only a very large table needs it.
    import boto3
    from boto3.exceptions import Boto3Error
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import S3CopyFailedError

    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    client = boto3.client(
        "s3",
        region_name=os.environ.get("AWS_REGION"),
        endpoint_url=endpoint,
        verify=os.environ.get("SSL_CERT_FILE"),
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SILENCE_SECONDS,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            # Servers other than AWS rarely resolve bucket names as host names, so the bucket is put into the path.
            s3={"addressing_style": "path" if endpoint else "auto"},
        ),
    )
    in_parts = TransferConfig(
        multipart_threshold=1,
        multipart_chunksize=min(PART_BYTES, most_part_bytes),
        max_concurrency=PARTS_AT_A_TIME,
    )
    bucket, source = _bucket_and_key(bucket_uri, source_key)
    _, target = _bucket_and_key(bucket_uri, target_key)
    try:
        client.copy({"Bucket": bucket, "Key": source}, bucket, target, Config=in_parts)
    except S3CopyFailedError:
        raise ReplacedError(
            f"object '{bucket_uri}/{source_key}' was replaced while it was copied; run it again"
        ) from None
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise OSError(str(error)) from None
    finally:
        client.close()


def _bucket_and_key(bucket_uri: str, key: str) -> tuple[str, str]:
    parts = urlsplit(bucket_uri)
    return parts.netloc, f"{unquote(parts.path)}/{key}".strip("/")
