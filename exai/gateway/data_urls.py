"""Files inside of `data:` URLs. https://www.rfc-editor.org/rfc/rfc2397"""

import base64
import binascii
import re
from urllib.parse import unquote, unquote_to_bytes

import msgspec

from exai.protocol.errors import InvalidValue

SCHEME = "data:"
_NAME = re.compile(r";\s*(?:file)?name=([^;,]{1,300})", re.IGNORECASE)
_LONGEST_HEAD = 1024  # characters before the comma
_LONGEST_CODED = 1024 * 1024  # characters with % among them, each of which is an object while it is decoded
_SPACE = re.compile(rb"[ \t\r\n]+")


class Inline(msgspec.Struct, frozen=True):
    """A file that comes with a call."""

    name: str
    content: bytes


def parse_data_url(url: str) -> Inline:
    """The content and its name, by the parameter `name` where there is one. The type that it declares is not looked
    at. Takes time with its length, so it belongs in a thread. Raises `InvalidValue`."""
    head, comma, data = url.partition(",")
    if not comma or len(head) > _LONGEST_HEAD:
        raise InvalidValue("is no data: URL: it has no comma after its type")
    named = _NAME.search(head)
    name = unquote(named[1].strip("\"' ")) if named else "inline"
    if "%" in data and len(data) > _LONGEST_CODED:
        raise InvalidValue("is too long a data: URL to hold %: write it as plain base64")
    content = unquote_to_bytes(data) if "%" in data else data.encode("utf-8", "replace")
    if not re.search(r";\s*base64\s*$", head, re.IGNORECASE):
        return Inline(name, content)
    plain = _SPACE.sub(b"", content).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return Inline(name, base64.b64decode(plain + b"=" * (-len(plain) % 4), validate=True))
    except (binascii.Error, ValueError):
        raise InvalidValue("is no data: URL: its base64 is broken") from None
