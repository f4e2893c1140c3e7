"""What reading one file may cost."""

import msgspec

_MEBIBYTE = 1024 * 1024


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Beyond the first three the process that reads is ended; at the others reading stops and says where."""

    # A process with a library loaded takes 40 to 60 MB; XML takes 5 to 20 times its size in memory, most in elements of
    # a few bytes; a picture of the most pixels up to 400 MB.
    address_space_bytes: int = 512 * _MEBIBYTE
    cpu_seconds: int = 20
    wall_seconds: float = 30.0

    characters: int = 2_000_000  # of text, some 500,000 tokens: more than any model's context that is worth its price
    pages: int = 500  # pages of a PDF, slides, sheets
    rows: int = 20_000  # of one sheet
    columns: int = 200  # of one sheet
    unpacked_bytes: int = 50 * _MEBIBYTE  # of all XML of an Office document, and of one stream of a PDF
    pixels: int = 50_000_000  # of one picture, 200 MB unpacked, which most decoders hold once (WebP's twice)
    image_side: int = 2_048  # pixels of the longer side, as sent: what is larger is made smaller
    image_bytes: int = 4 * _MEBIBYTE  # as sent, before base64


DEFAULT_LIMITS = Limits()
