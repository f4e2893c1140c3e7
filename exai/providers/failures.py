"""The one table that maps what vendors answer to the hub's errors."""

import json
import math
import re
import time
from email.utils import parsedate_to_datetime

import msgspec

from exai.protocol.errors import ContentTooLarge, HubError, ProviderFailed
from exai.providers.answer_text import cleaned

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_ERROR_BODY = 64 * 1024  # bytes of an error that are read
LONGEST_REASON = 500  # characters of a vendor's message that are passed on

_CONTEXT_WORDS = ("context length", "context_length", "maximum context", "too long", "token limit", "exceeds the model")
_FILTER_WORDS = ("content_filter", "content filter", "sensitive", "unsafe")
_SECONDS = re.compile(r"[0-9]{1,6}")
_LONGEST_WAIT_S = 999_999
_FILTER_FINISHES = frozenset({"content_filter", "sensitive"})  # "sensitive" is GLM's word

# status -> what it means, in words that say what to do. {provider} is the
# provider's name, {setting} where its key is, {of} what the address names.
_MEANINGS = {
    401: "{provider} refuses the key: check {setting}.",
    403: "{provider} refuses the key or the model: check {setting} and what it is allowed.",
    404: "{provider} does not know this {of}.",
    408: "{provider} took too long to answer.",
    429: "{provider} is over its rate limit or out of quota.",
}


class _VendorError(msgspec.Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None


class _VendorErrorBody(msgspec.Struct):
    error: _VendorError | str | None = None
    message: str = ""


def failure_of_status(*, provider: str, setting: str, status: int, body: bytes, secret: str, of: str) -> HubError:
    """The error for an HTTP answer that is none. `setting` names where the key is configured; `secret`, the key
    itself, is cut out of whatever the vendor says; `of` is what the address names."""
    try:
        # Not msgspec: it refuses a whole body for half of a surrogate pair.
        reason = _reason(json.loads(body), secret)
    except (ValueError, RecursionError):
        reason = ""
    if status in (401, 403):
        # Vendors repeat parts of the key here: nothing of theirs is passed on.
        return ProviderFailed(
            _MEANINGS[status].format(provider=provider, setting=setting),
            provider=provider,
            status=status,
            retryable=False,
        )
    return _failure(provider=provider, status=status, reason=reason, of=of)


def failure_in_stream(*, provider: str, error: object, secret: str) -> HubError:
    """The error for an `error` object that came in place of the rest of a stream."""
    return _failure(provider=provider, status=None, reason=_reason({"error": error}, secret))


def retry_after_s(header: str) -> int | None:
    """Seconds to wait by a `Retry-After` header, which holds seconds or an HTTP date; None where it holds neither.
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    if _SECONDS.fullmatch(header):
        return int(header)
    try:
        wait = math.ceil(parsedate_to_datetime(header[:100]).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
    return max(0, wait) if wait <= _LONGEST_WAIT_S else None


def failure_of_finish(*, provider: str, reason: str | None, partial_text: str) -> HubError | None:
    """The error for an answer that the vendor itself ended early for what it says; None for any other end."""
    if reason not in _FILTER_FINISHES:
        return None
    message = f"{provider} refused the content: its filter ended the answer ({reason})."
    return ProviderFailed(message, provider=provider, retryable=False, partial_text=partial_text)


def _failure(*, provider: str, status: int | None, reason: str, of: str = "") -> HubError:
    lowered = reason.lower()
    if status in (400, 413, None) and any(words in lowered for words in _CONTEXT_WORDS):
        return ContentTooLarge(f"The conversation is too long for this model. {provider} says: {reason}")
    if any(words in lowered for words in _FILTER_WORDS):
        message = f"{provider} refused the content: {reason}"
        return ProviderFailed(message, provider=provider, status=status, retryable=False)
    meaning = _MEANINGS.get(status or 0, f"{{provider}} failed{f' with status {status}' if status else ' midway'}.")
    message = meaning.format(provider=provider, setting="", of=of) + (f" It says: {reason}" if reason else "")
    retryable = status is None or status in RETRYABLE_STATUSES
    return ProviderFailed(message, provider=provider, status=status, retryable=retryable)


def _reason(body: object, secret: str) -> str:
    try:
        parsed = msgspec.convert(body, _VendorErrorBody)
    except (msgspec.ValidationError, RecursionError):
        return ""
    if isinstance(parsed.error, _VendorError):
        text = " ".join(str(part) for part in (parsed.error.code, parsed.error.message) if part)
    else:
        text = parsed.error or parsed.message
    text = text.replace(secret, "…") if secret else text
    return cleaned(text)[:LONGEST_REASON]
