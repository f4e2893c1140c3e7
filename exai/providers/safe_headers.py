"""Of the headers of a vendor's answer those that anybody may see: limits, ids of requests, caches, times.

A list of what is let through, for what else a vendor or a proxy before it may send (cookies, keys, accounts) is not
known. The names: https://platform.openai.com/docs/api-reference/debugging-requests and
https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/; `Msh-` are Moonshot's own.
"""

from collections.abc import Mapping

from exai.providers.answer_text import cleaned

_NAMES = frozenset(
    (
        *("age", "cf-ray", "content-length", "content-type", "date", "openai-processing-ms", "request-id"),
        *("retry-after", "server", "server-timing", "trace-id", "x-log-id", "x-request-id", "x-trace-id"),
    )
)
_BEGINNINGS = ("ratelimit", "x-ratelimit-", "msh-context-cache-", "msh-request-", "msh-trace-")
_LONGEST_VALUE = 1024  # characters
_MOST = 64


def safe_headers(headers: Mapping[str, str], *, secret: str) -> dict[str, str]:
    """Name in lower case -> value. `secret` is cut out of every value."""
    safe: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if len(safe) < _MOST and (lowered in _NAMES or lowered.startswith(_BEGINNINGS)):
            safe[lowered] = cleaned(value.replace(secret, "…") if secret else value)[:_LONGEST_VALUE]
    return safe
