"""What the hub and the process that reads a file say to each other: one JSON each way."""

import msgspec

from exai.extraction.extracted import Extracted
from exai.extraction.limits import Limits


class Request(msgspec.Struct, frozen=True, kw_only=True):
    descriptor: int  # the file, open for reading and inherited: the process needs no path
    mime_type: str
    limits: Limits


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    extracted: Extracted
    fault: str = ""  # for the log: the class of an unforeseen error and its place in the code, nothing of the file
