"""Where the bytes of files lie, in the words of Django's STORAGES."""

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from exai.settings.hub import HubSettings


def files_dir(settings: HubSettings) -> Path:
    """Where files lie, and those that are just coming or are read from a bucket."""
    return settings.data_dir / "files"


def file_storage(settings: HubSettings) -> dict[str, Any]:
    """The entry of STORAGES. Options of a bucket: https://django-storages.readthedocs.io/en/latest/backends/amazon-S3.html"""
    if settings.s3_bucket is None:
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {
                "location": files_dir(settings),
                "file_permissions_mode": 0o600,
                "directory_permissions_mode": 0o700,
            },
        }
    return {
        "BACKEND": "conversations.files.bucket.Bucket",
        "OPTIONS": {
            "bucket_name": settings.s3_bucket,
            "endpoint_url": settings.s3_endpoint,
            "region_name": settings.s3_region,
            "access_key": _plain(settings.s3_access_key),
            "secret_key": _plain(settings.s3_secret_key),
            "location": settings.s3_prefix,
            # Stores of one's own rarely have a name of their own for each bucket.
            "addressing_style": "path" if settings.s3_endpoint else "auto",
            # A path is never given twice; to look whether it is there would be a request more.
            "file_overwrite": True,
        },
    }


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
