"""The text of a PDF, page by page. https://pypdf.readthedocs.io/en/stable/user/extract-text.html"""

from collections.abc import Iterable
from typing import BinaryIO

from pypdf import PageObject, PasswordType, PdfReader, overwrite_configuration
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

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
    try:
        reader = PdfReader(file)
        if reader.is_encrypted:
            _decrypt(reader)
        pages = reader.pages
        gathered.total = len(pages)
    except LimitReachedError:
        raise Unreadable("Its structure is larger or deeper than a PDF's may be: it may be damaged.") from None
    except PyPdfError:
        raise Unreadable("It is a damaged or incomplete PDF.") from None
    if not gathered.total:
        raise Unreadable("It is a PDF without pages.")
    gathered.unit = "pages"
    _read_pages(pages, gathered)


def _read_pages(pages: Iterable[PageObject], gathered: Gathered) -> None:
    found = False
    failure = ""
    for number, page in enumerate(pages, 1):
        try:
            text = _text(page)
        except Unreadable as reason:
            failure = str(reason)
            text = f"({failure})"
        else:
            found = found or bool(text.strip())
        gathered.add(f"--- page {number} ---\n{text}\n\n")
        if not gathered.part_done():
            break
    if not found:
        raise Unreadable(failure or _SCANNED)


def _decrypt(reader: PdfReader) -> None:
    """Many a PDF is encrypted for rights only, with an empty password."""
    try:
        opened = reader.decrypt("") != PasswordType.NOT_DECRYPTED
    except (DependencyError, NotImplementedError):
        opened = False
    if not opened:
        raise Unreadable("It is a password-protected PDF: save it without a password.")


def _text(page: PageObject) -> str:
    """Raises `Unreadable` where this page is too large or damaged; others may not be."""
    try:
        return page.extract_text()
    except LimitReachedError:
        raise Unreadable("A page of it unpacks to more than a page may hold.") from None
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        # pypdf meets damage in the middle of a page with whatever its code runs into.
        raise Unreadable("A page of it is damaged.") from None
