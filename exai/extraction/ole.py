"""What an OLE compound file holds: documents of Office before 2007, and encrypted ones of today.

https://learn.microsoft.com/en-us/openspecs/windows_protocols/ms-cfb/53989ce4-7b05-4f8d-829b-d08d6148375b
"""

from typing import BinaryIO

from exai.extraction.mime_types import OLE

_SECTOR_SHIFT = 30  # of the header
_FIRST_DIRECTORY_SECTOR = 48
_LONGEST_READ = 8_192  # bytes of the directory: 64 names
_STREAMS = (
    (
        "EncryptedPackage",
        OLE,
        "It is a password-protected Office document: save it without a password.",
    ),
    ("WordDocument", "application/msword", "It is a document of old Word: save it as .docx."),
    ("Workbook", "application/vnd.ms-excel", "It is a workbook of old Excel: save it as .xlsx."),
    ("Book", "application/vnd.ms-excel", "It is a workbook of old Excel: save it as .xlsx."),
    (
        "PowerPoint Document",
        "application/vnd.ms-powerpoint",
        "It is a presentation of old PowerPoint: save it as .pptx.",
    ),
    ("__properties_version1.0", "application/vnd.ms-outlook", "It is a mail of Outlook: save it as text."),
)


def kind_of_ole(head: bytes, file: BinaryIO) -> tuple[str, str]:
    """The mime type, and why it cannot be read."""
    shift = int.from_bytes(head[_SECTOR_SHIFT : _SECTOR_SHIFT + 2], "little")
    sector = int.from_bytes(head[_FIRST_DIRECTORY_SECTOR : _FIRST_DIRECTORY_SECTOR + 4], "little")
    if shift in {9, 12}:
        file.seek((sector + 1) << shift)
        directory = file.read(_LONGEST_READ)
        names = {
            directory[at : at + 64].partition(b"\x00\x00\x00")[0] + b"\x00" for at in range(0, len(directory), 128)
        }
        for stream, mime_type, problem in _STREAMS:
            if stream.encode("utf-16-le") in names:
                return mime_type, problem
    return OLE, "It is a file of old Office: save it as .docx, .xlsx, .pptx or .pdf."
