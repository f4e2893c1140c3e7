"""The text of a PDF, page by page. https://pypdf.readthedocs.io/en/stable/user/extract-text.html"""

from typing import BinaryIO

from pypdf import PageObject, PasswordType, PdfReader, overwrite_configuration
from pypdf.errors import DependencyError, PyPdfError

from exai.extraction.gathered import Gathered, Unreadable

_SCANNED = (
    "It is a PDF of pictures without text, such as a scan: send its pages as PNG or JPEG, or run it through text "
    "recognition first."
)


def read_pdf(file: BinaryIO, gathered: Gathered) -> None:
    """Raises `Unreadable`, and whatever else pypdf raises for a file that is damaged beyond its repair."""
    most = gathered.limits.unpacked_bytes
    overwrite_configuration(
        zlib_maximum_output_length=most,
        lzw_maximum_output_length=most,
        run_length_maximum_output_length=most,
        array_based_stream_maximum_output_length=most,
        jbig2dec_binary=None,  # no program is run
    )
    reader = PdfReader(file)
    if reader.is_encrypted:
        _decrypt(reader)
    gathered.unit = "pages"
    gathered.total = len(reader.pages)
    if not gathered.total:
        raise Unreadable("It is a PDF without pages.")
    found = False
    unread = 0
    for number, page in enumerate(reader.pages, 1):
        text = _text(page)
        unread += text is None
        found = found or bool(text and not text.isspace())
        gathered.add(f"--- page {number} ---\n{text if text is not None else '(this page could not be read)'}\n\n")
        if not gathered.part_done():
            break
    if not found:
        raise Unreadable("It is a damaged PDF: no page of it can be read." if unread == gathered.done else _SCANNED)


def _decrypt(reader: PdfReader) -> None:
    """Many a PDF is encrypted for rights only, with an empty password."""
    try:
        opened = reader.decrypt("") != PasswordType.NOT_DECRYPTED
    except (DependencyError, NotImplementedError):
        opened = False
    if not opened:
        raise Unreadable("It is a password-protected PDF: save it without a password.")


def _text(page: PageObject) -> str | None:
    """None where this page is damaged or too large; others may not be."""
    try:
        return page.extract_text()
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        # pypdf meets damage in the middle of a page with whatever its code runs into.
        return None
