"""Conditional and partial requests, RFC 9110 sections 13 and 14: one range; several are answered with the whole."""

import re

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class NotSatisfiable(Exception):
    """No byte of the range exists."""


def requested_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are asked for; None: all of them. Raises `NotSatisfiable`."""
    found = _ONE_RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    if not first:
        length = int(last)
        if not length or not size:
            raise NotSatisfiable
        return max(0, size - length), size - 1
    if last and int(last) < int(first):
        return None  # it is no range: to be ignored
    if int(first) >= size:
        raise NotSatisfiable
    return int(first), min(int(last), size - 1) if last else size - 1


def names_tag(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match has this tag (quoted). Weak tags are as good there."""
    if not header:
        return False
    given = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in given or etag in given
