"""JSON text to frames and back. Whatever comes in, the outcome is a frame or a `BadFrame` that says what is wrong."""

import re
import secrets
from typing import Any

import msgspec

from exai.protocol.errors import HubError, InvalidRequest, InvalidValue
from exai.protocol.frames import (
    CallTool,
    Cancel,
    Health,
    Hello,
    ListTools,
    Ping,
    Request,
    RequestId,
    Resume,
    RotateToken,
    ToolCall,
)

LONGEST_REQUEST_ID = 256  # characters
LONGEST_HELLO = 64 * 1024  # characters

_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
_encoder = msgspec.json.Encoder()
_operations = (ListTools, CallTool, ToolCall, Cancel, Resume, Ping, Health, RotateToken)
OPERATIONS = tuple(str(operation.__struct_config__.tag) for operation in _operations)

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{3,64}")
# An escaped NUL; pairs of backslashes before it are escaped backslashes, not part of it.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Half of an escaped surrogate pair, in a text without escaped backslashes. It begins with what every match begins with,
# so that the text between matches is passed over fast.
_LONE_SURROGATE = re.compile(
    r"\\u(?:[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F][0-9a-fA-F]{2})"
)
_ESCAPED_BACKSLASH, _NO_JSON = "\\\\", "\x00\x00"  # of one length, which makes replacing fast
_REQUEST_ID = re.compile(r'"request_id"\s*:\s*("[^"\\\x00-\x1f]{1,256}"|0|-?[1-9]\d{0,18})\s*[,}]')


class _Probe(msgspec.Struct):
    request_id: Any = None
    op: Any = None


class BadFrame(Exception):
    """A frame that cannot be served. `request_id`: the caller to tell, where the frame named one."""

    def __init__(self, error: HubError, request_id: RequestId | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.request_id = request_id


class BadHello(Exception):
    """A first frame that is no hello; `error` is the protocol's word for it."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def encode(frame: msgspec.Struct) -> str:
    return _encoder.encode(frame).decode()


def decode_hello(text: str) -> Hello:
    """The hello of a client. A missing or malformed `session_id` becomes a fresh one, a token that is no text becomes
    empty. Raises `BadHello` with `invalid_hello` (no JSON object) or `missing_hello` (another op)."""
    try:
        fields = msgspec.json.decode(text) if len(text) <= LONGEST_HELLO else None
    except (msgspec.DecodeError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise BadHello("invalid_hello")
    if fields.get("op") != "hello":
        raise BadHello("missing_hello")
    session_id, token = fields.get("session_id"), fields.get("token")
    if not isinstance(session_id, str) or not _SESSION_ID.fullmatch(session_id):
        session_id = "session-" + secrets.token_hex(8)
    return Hello(session_id=session_id, token=token if isinstance(token, str) else "")


def decode_request(text: str) -> Request:
    """The request in a frame. Raises `BadFrame`."""
    try:
        request = _requests.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _diagnose(text, error) from None
    if request.request_id is not None and len(str(request.request_id)) > LONGEST_REQUEST_ID:
        reason = f"longer than {LONGEST_REQUEST_ID} characters"
        raise BadFrame(InvalidValue(f"request_id is {reason}.", request_id=reason), request.request_id)
    if "\\u0000" in text and _NUL.search(text):
        raise BadFrame(InvalidValue("A request must not contain NUL characters."), request.request_id)
    return request


def _diagnose(text: str, error: Exception) -> BadFrame:
    """What is wrong with a frame that could not be read, found with as little of it as can be."""
    if isinstance(error, RecursionError):
        named = _REQUEST_ID.search(text)
        return BadFrame(
            InvalidRequest("The frame is nested too deeply."), msgspec.json.decode(named[1]) if named else None
        )
    try:
        probe = msgspec.json.decode(_without_lone_surrogates(text), type=_Probe)
    except (msgspec.DecodeError, RecursionError):
        return BadFrame(InvalidRequest("The frame is not a JSON object."), None)
    request_id = probe.request_id if type(probe.request_id) in (str, int) else None
    if not isinstance(error, msgspec.ValidationError):
        # The text became readable, so what was wrong with it were its surrogates.
        return BadFrame(InvalidValue("A request must not contain lone surrogates."), request_id)
    if probe.op not in OPERATIONS:
        what = "The frame has no op" if probe.op is None else "The frame's op is unknown"
        return BadFrame(InvalidRequest(f"{what}; there are {', '.join(OPERATIONS)}."), request_id)
    return BadFrame(InvalidRequest(f"The frame is not a valid {probe.op}: {error}."), request_id)


def _without_lone_surrogates(text: str) -> str:
    """The text with U+FFFD for each escaped half of a pair. It may be 32 MiB of anything: no call for each match."""
    if ("\\ud" not in text and "\\uD" not in text) or "\x00" in text:
        return text
    masked = text.replace(_ESCAPED_BACKSLASH, _NO_JSON)
    return _LONE_SURROGATE.sub(r"\\ufffd", masked).replace(_NO_JSON, _ESCAPED_BACKSLASH)
