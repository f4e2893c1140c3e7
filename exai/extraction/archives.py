"""What a ZIP archive is: an Office document, another kind of document, or files that someone packed."""

from exai.extraction.mime_types import DOCX, PPTX, XLSX, ZIP
from exai.extraction.signatures import ARCHIVE_PROBLEM, PROGRAM_PROBLEM

_OFFICE = {"word/": DOCX, "xl/": XLSX, "ppt/": PPTX}
# An archive of these names its type in its first entry, stored as it is.
_DECLARED = {
    b"application/vnd.oasis.opendocument.text": "It is an OpenDocument text: save it as .docx.",
    b"application/vnd.oasis.opendocument.spreadsheet": "It is an OpenDocument spreadsheet: save it as .xlsx.",
    b"application/vnd.oasis.opendocument.presentation": "It is an OpenDocument presentation: save it as .pptx.",
    b"application/vnd.oasis.opendocument.graphics": "It is an OpenDocument drawing: save it as .pdf or .png.",
    b"application/epub+zip": "It is an e-book: save it as .pdf or .txt.",
}
_DECLARATION = 30  # bytes before the name of an archive's first entry


def kind_of_archive(head: bytes, names: frozenset[str]) -> tuple[str, str]:
    """The mime type, and why it cannot be read, empty where it can. `names` are those of its directory."""
    for declared, problem in _DECLARED.items():
        if head.startswith(b"mimetype" + declared, _DECLARATION):
            return declared.decode("ascii"), problem
    if "[Content_Types].xml" in names:
        if "xl/workbook.bin" in names:
            return "application/vnd.ms-excel.sheet.binary.macroEnabled.12", "It is a binary workbook: save it as .xlsx."
        for folder, mime_type in _OFFICE.items():
            if any(name.startswith(folder) for name in names):
                return mime_type, ""
    if "META-INF/MANIFEST.MF" in names:
        return "application/java-archive", PROGRAM_PROBLEM
    return ZIP, ARCHIVE_PROBLEM
