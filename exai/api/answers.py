"""What the API answers: JSON, and errors with the codes of the tool protocol."""

from typing import Any

import msgspec
from django.http import HttpResponse

from conversations.files.errors import QuotaReached
from exai.protocol.errors import ErrorCode, HubError

_STATUS = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.VALIDATION_ERROR: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.TIMEOUT: 408,
    ErrorCode.CONTENT_TOO_LARGE: 413,
    ErrorCode.OVER_CAPACITY: 429,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
}


class Forbidden(HubError):
    """The token is good, but not for this."""

    code = ErrorCode.UNAUTHORIZED


class Conflict(HubError):
    """The request is right, and what it is about does not allow it now."""

    code = ErrorCode.INVALID_REQUEST


def status_of(error: HubError) -> int:
    """The HTTP status that goes with an error."""
    if isinstance(error, Forbidden):
        return 403
    if isinstance(error, Conflict):
        return 409
    if isinstance(error, QuotaReached):
        return 507  # RFC 4918: no room, and trying again does not make any
    return _STATUS.get(error.code, 500)


def headers_of(error: HubError) -> dict[str, str]:
    status = status_of(error)
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="EXAI"'}
    retry_after = error.details.get("retry_after")
    return {"Retry-After": str(retry_after)} if retry_after is not None else {}


def error_body(error: HubError) -> bytes:
    """`{"error": {"code", "message", "details"}}`"""
    return encoded({"error": {"code": error.code, "message": error.message, "details": error.details}})


def encoded(content: Any) -> bytes:
    # What a vendor or a file brought along may hold half of a character, which JSON in UTF-8 cannot.
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:
        return msgspec.json.encode(_whole(msgspec.to_builtins(content)))


def json_answer(content: Any, *, status: int = 200) -> HttpResponse:
    answer = HttpResponse(encoded(content), status=status, content_type="application/json")
    answer["Cache-Control"] = "no-store"
    return answer


def error_answer(error: HubError) -> HttpResponse:
    answer = json_answer({}, status=status_of(error))
    answer.content = error_body(error)
    for name, value in headers_of(error).items():
        answer[name] = value
    return answer


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value
