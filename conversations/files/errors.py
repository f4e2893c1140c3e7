"""What can go wrong with a file, in words for its owner."""

from exai.protocol.errors import ContentTooLarge, NotFound, OverCapacity, ServiceUnavailable

_MEBIBYTE = 1024 * 1024


class FileTooLarge(ContentTooLarge):
    what = "The file is larger"

    def __init__(self, most_bytes: int) -> None:
        most = f"{most_bytes / _MEBIBYTE:.4g} MiB" if most_bytes >= _MEBIBYTE else f"{most_bytes} bytes"
        super().__init__(f"{self.what} than the {most} that the hub takes.", limit=most_bytes)


class FormTooLarge(FileTooLarge):
    what = "The file is larger, or the files of the form are larger together,"


class QuotaReached(OverCapacity):
    """The workspace has no room for another file."""


def too_many_files(most: int) -> QuotaReached:
    return QuotaReached(
        f"The workspace has all its {most} files. Delete some that are not needed.",
        reason="files_of_workspace",
        limit=most,
    )


def too_many_bytes(most_bytes: int) -> QuotaReached:
    return QuotaReached(
        f"The files of the workspace would exceed its {most_bytes / _MEBIBYTE:.4g} MiB. Delete some first.",
        reason="bytes_of_workspace",
        limit=most_bytes,
    )


class UploadLost(ServiceUnavailable):
    """Its bytes were tidied away before its row was written: it took too long."""

    def __init__(self) -> None:
        super().__init__("Storing the file took too long. Send it again.")


class StorageAway(ServiceUnavailable):
    def __init__(self) -> None:
        super().__init__("The storage of files cannot be reached at the moment. Try again in a while.")


class BytesMissing(NotFound):
    def __init__(self, name: str) -> None:
        super().__init__(f"The bytes of {name} are missing in the storage. Upload the file again.")
