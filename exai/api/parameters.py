"""What a request brings along: its query and its JSON body, checked before anything is done with it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import HttpRequest

from exai.protocol.errors import ContentTooLarge, InvalidRequest, InvalidValue

_MOST_BODY_BYTES = 64 * 1024
_LONGEST = 1_000  # characters of a parameter


def query_of(request: HttpRequest, known: Iterable[str]) -> dict[str, str]:
    """The parameters of the query; empty ones count as absent. Raises `InvalidValue` for others than the known, and
    for what PostgreSQL cannot take; `InvalidRequest`."""
    known = tuple(known)
    try:
        given = request.GET
    except TooManyFieldsSent:
        raise InvalidRequest("There are too many parameters.") from None
    wrong = {name: f"there is no such parameter; there are: {', '.join(known)}" for name in given.keys() - known}
    wrong |= {name: "too long" for name in known if len(given.get(name, "")) > _LONGEST}
    wrong |= {name: "holds a NUL character" for name in known if "\x00" in given.get(name, "")}
    if wrong:
        raise InvalidValue("These parameters are wrong: " + ", ".join(sorted(wrong)) + ".", **wrong)
    return {name: value for name in known if (value := given.get(name))}


def whole_number(query: dict[str, str], name: str, *, least: int, most: int, default: int | None) -> int | None:
    """Raises `InvalidValue`."""
    if name not in query:
        return default
    text = query[name]
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
        raise InvalidValue(f"{name} is wrong.", **{name: f"a whole number from {least} to {most}"})
    return int(text)


def moment(query: dict[str, str], name: str) -> datetime | None:
    """ISO 8601, UTC unless it says otherwise. Raises `InvalidValue`."""
    if name not in query:
        return None
    try:
        given = datetime.fromisoformat(query[name])
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    except ValueError:
        raise InvalidValue(f"{name} is wrong.", **{name: "a date or time in ISO 8601, such as 2026-11-01"}) from None


def body_of(request: HttpRequest, known: Iterable[str]) -> dict[str, Any]:
    """The fields of a JSON object; nothing counts as {}. Raises `InvalidRequest`, `InvalidValue`, `ContentTooLarge`."""
    try:
        body = request.body
    except RequestDataTooBig:
        raise ContentTooLarge(f"At most {_MOST_BODY_BYTES:,} bytes are taken here.") from None
    if len(body) > _MOST_BODY_BYTES:
        raise ContentTooLarge(f"At most {_MOST_BODY_BYTES:,} bytes are taken here.")
    try:
        fields: dict[str, Any] = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise InvalidRequest("Send a JSON object.") from None
    known = tuple(known)
    if wrong := {name: f"there is no such field; there are: {', '.join(known)}" for name in fields.keys() - known}:
        raise InvalidValue("These fields are not known: " + ", ".join(sorted(wrong)) + ".", **wrong)
    return fields
