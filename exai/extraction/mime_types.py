"""The types that are told apart where files are read."""

OCTET_STREAM = "application/octet-stream"
ZIP = "application/zip"
OLE = "application/x-ole-storage"

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
NOTEBOOK = "application/x-ipynb+json"

IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff"})
DOCUMENTS = frozenset({PDF, DOCX, XLSX, PPTX, NOTEBOOK})
