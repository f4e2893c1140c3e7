"""Files in an S3-compatible store. Imported only where one is configured: boto3 takes its time and memory."""

from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError
from storages.backends.s3 import S3Storage

_PART_BYTES = 8 * 1024 * 1024  # at a time in memory; S3 takes up to 10,000 parts


class Bucket(S3Storage):  # type: ignore[misc]
    """django-storages' S3 storage with patience that ends, and one part at a time in memory.

    https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html
    """

    def __init__(self, *, addressing_style: str, **options: Any) -> None:
        super().__init__(
            **options,
            client_config=Config(
                s3={"addressing_style": addressing_style},
                signature_version="s3v4",
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "total_max_attempts": 3},
                # Not every store knows the checksums that boto3 adds by itself; ours are in the database.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
            transfer_config=TransferConfig(
                multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, use_threads=False
            ),
        )

    def read_range(self, name: str, first: int, last: int) -> Any:
        """A stream of the bytes from `first` to `last`, both included. Raises `FileNotFoundError`."""
        key = self._normalize_name(name)
        try:
            return self.bucket.Object(key).get(Range=f"bytes={first}-{last}")["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise FileNotFoundError(name) from None
            raise
