"""How files begin. https://www.garykessler.net/library/file_sigs.html, https://en.wikipedia.org/wiki/List_of_file_signatures

What begins like none of these is text or unknown. ZIP, OLE and text are looked into by `archives`, `ole`, `sniffing`.
"""

from typing import NamedTuple

from exai.extraction.mime_types import OLE, PDF, ZIP

ARCHIVE_PROBLEM = "It is an archive: unpack it and send the files that matter."
_SOUND = "It is a sound recording and holds no text."
_VIDEO = "It is a video and holds no text."
PROGRAM_PROBLEM = "It is a compiled program and holds no text."
_FONT = "It is a font and holds no text."
_DATABASE = "It is a database file: send an export as text, such as CSV or SQL."
_PICTURE = "It is a picture of a kind that models do not take: save it as PNG or JPEG."


class Signature(NamedTuple):
    offset: int
    magic: bytes
    mime_type: str
    problem: str = ""


SIGNATURES = (
    Signature(0, b"\x89PNG\r\n\x1a\n", "image/png"),
    Signature(0, b"\xff\xd8\xff", "image/jpeg"),
    Signature(0, b"GIF87a", "image/gif"),
    Signature(0, b"GIF89a", "image/gif"),
    Signature(0, b"II*\x00", "image/tiff"),
    Signature(0, b"MM\x00*", "image/tiff"),
    Signature(0, b"%PDF-", PDF),
    Signature(0, b"PK\x03\x04", ZIP),
    Signature(0, b"PK\x05\x06", ZIP),
    Signature(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    Signature(0, b"II+\x00", "image/tiff", _PICTURE),
    Signature(0, b"MM\x00+", "image/tiff", _PICTURE),
    Signature(0, b"8BPS\x00\x01", "image/vnd.adobe.photoshop", _PICTURE),
    Signature(0, b"\x00\x00\x01\x00", "image/vnd.microsoft.icon", _PICTURE),
    Signature(0, b"\x1aE\xdf\xa3", "video/webm", _VIDEO),
    Signature(0, b"\x00\x00\x01\xba", "video/mpeg", _VIDEO),
    Signature(0, b"\x00\x00\x01\xb3", "video/mpeg", _VIDEO),
    Signature(0, b"FLV\x01", "video/x-flv", _VIDEO),
    Signature(0, b"ID3\x02", "audio/mpeg", _SOUND),
    Signature(0, b"ID3\x03", "audio/mpeg", _SOUND),
    Signature(0, b"ID3\x04", "audio/mpeg", _SOUND),
    Signature(0, b"\xff\xfb", "audio/mpeg", _SOUND),
    Signature(0, b"\xff\xf1", "audio/aac", _SOUND),
    Signature(0, b"OggS\x00", "audio/ogg", _SOUND),
    Signature(0, b"fLaC\x00", "audio/flac", _SOUND),
    Signature(0, b"MThd\x00\x00", "audio/midi", _SOUND),
    Signature(0, b"\x7fELF", "application/x-executable", PROGRAM_PROBLEM),
    Signature(0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary", PROGRAM_PROBLEM),
    Signature(0, b"\xce\xfa\xed\xfe", "application/x-mach-binary", PROGRAM_PROBLEM),
    Signature(0, b"\xca\xfe\xba\xbe", "application/java-vm", PROGRAM_PROBLEM),
    Signature(0, b"\x00asm", "application/wasm", PROGRAM_PROBLEM),
    Signature(0, b"\x1f\x8b", "application/gzip", ARCHIVE_PROBLEM),
    Signature(4, b"1AY&SY", "application/x-bzip2", ARCHIVE_PROBLEM),
    Signature(0, b"\xfd7zXZ\x00", "application/x-xz", ARCHIVE_PROBLEM),
    Signature(0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed", ARCHIVE_PROBLEM),
    Signature(0, b"Rar!\x1a\x07", "application/vnd.rar", ARCHIVE_PROBLEM),
    Signature(0, b"\x28\xb5\x2f\xfd", "application/zstd", ARCHIVE_PROBLEM),
    Signature(257, b"ustar\x00", "application/x-tar", ARCHIVE_PROBLEM),
    Signature(257, b"ustar  \x00", "application/x-tar", ARCHIVE_PROBLEM),
    Signature(0, b"wOFF\x00\x01", "font/woff", _FONT),
    Signature(0, b"wOF2\x00\x01", "font/woff2", _FONT),
    Signature(0, b"OTTO\x00", "font/otf", _FONT),
    Signature(0, b"\x00\x01\x00\x00\x00", "font/ttf", _FONT),
    Signature(0, b"SQLite format 3\x00", "application/vnd.sqlite3", _DATABASE),
    Signature(0, b"PAR1\x15", "application/vnd.apache.parquet", _DATABASE),
)
# RIFF names what it holds at byte 8.
_RIFF = {
    b"WEBP": Signature(0, b"", "image/webp"),
    b"WAVE": Signature(0, b"", "audio/wav", _SOUND),
    b"AVI ": Signature(0, b"", "video/x-msvideo", _VIDEO),
}
# So do files of ISO's media format, after `ftyp` at byte 4; a video is what is none of these.
_MEDIA = {
    b"heic": Signature(0, b"", "image/heic", _PICTURE),
    b"heix": Signature(0, b"", "image/heic", _PICTURE),
    b"mif1": Signature(0, b"", "image/heif", _PICTURE),
    b"avif": Signature(0, b"", "image/avif", _PICTURE),
    b"M4A ": Signature(0, b"", "audio/mp4", _SOUND),
}
_OTHER_MEDIA = Signature(0, b"", "video/mp4", _VIDEO)
# Two letters begin many a text too, so these need a second look: the size of a bitmap's header, at byte 14.
_BITMAP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_PROGRAM_OF_WINDOWS = Signature(0, b"MZ", "application/vnd.microsoft.portable-executable", PROGRAM_PROBLEM)
_BITMAP = Signature(0, b"BM", "image/bmp")


def by_signature(head: bytes) -> Signature | None:
    """`head`: at least the first 262 bytes, or all."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"\x00") and head.startswith(b"ftyp", 4):
        return _MEDIA.get(head[8:12], _OTHER_MEDIA)
    if head.startswith(b"BM") and len(head) >= 26 and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return _BITMAP
    if head.startswith(b"MZ") and b"\x00" in head[:64]:
        return _PROGRAM_OF_WINDOWS
    for signature in SIGNATURES:
        if head.startswith(signature.magic, signature.offset):
            return signature
    return None
