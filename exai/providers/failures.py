"""The one table that maps what vendors answer to the hub's errors.

The words by which they tell: https://platform.kimi.ai/docs/api/errors, https://docs.z.ai/api-reference/api-code,
https://platform.openai.com/docs/guides/error-codes
"""

import json
import math
import re
import time
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import msgspec

from exai.protocol.errors import ContentTooLarge, HubError, ProviderFailed
from exai.providers.answer_text import cleaned

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_ERROR_BODY = 64 * 1024  # bytes of an error that are read
LONGEST_REASON = 500  # characters of a vendor's message that are passed on

_CONTEXT_WORDS = (
    "context length",
    "context_length",
    "maximum context",
    "too long",
    "token limit",
    "exceeds the model",
    "exceeds max length",
    "total message size",
)
_FILTER_WORDS = ("content_filter", "content filter", "sensitive", "unsafe")
_QUOTA_WORDS = ("insufficient_quota", "exceeded_current_quota", "insufficient balance", "in arrears")
_SECONDS = re.compile(r"[0-9]{1,6}")
_LONGEST_WAIT_S = 999_999
_FILTER_FINISHES = frozenset({"content_filter", "sensitive"})  # "sensitive" is GLM's word
_BROKEN_FINISHES = frozenset({"network_error"})
_CONTEXT_FINISHES = frozenset({"model_context_window_exceeded"})  # with text before it, the answer is only cut short

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
        told = _told(json.loads(body), secret)
    except (ValueError, RecursionError):
        told = _NOTHING_TOLD
    if status in (401, 403):
        # Vendors repeat parts of the key here: nothing of theirs is passed on.
        return ProviderFailed(
            _MEANINGS[status].format(provider=provider, setting=setting),
            provider=provider,
            status=status,
            retryable=False,
        )
    return _failure(provider=provider, status=status, told=told, of=of)


def failure_in_stream(*, provider: str, error: object, secret: str) -> HubError:
    """The error for an `error` object that came in place of the rest of a stream."""
    return _failure(provider=provider, status=None, told=_told({"error": error}, secret))


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
    """The error for an answer that the vendor itself ended early, by the reason that it gives; None for any other end.
    GLM's reasons: https://docs.z.ai/api-reference/llm/chat-completion"""
    if reason in _FILTER_FINISHES:
        message = f"{provider} refused the content: its filter ended the answer ({reason})."
        return ProviderFailed(message, provider=provider, retryable=False, partial_text=partial_text)
    if reason in _BROKEN_FINISHES:
        message = f"{provider} broke off its answer ({reason})."
        return ProviderFailed(message, provider=provider, retryable=True, partial_text=partial_text)
    if reason in _CONTEXT_FINISHES and not partial_text:
        return ContentTooLarge(f"The conversation is too long for this model. {provider} says: {reason}")
    return None


class _Told(NamedTuple):
    """A vendor's words that are passed on, and all that it said by which its meaning is known."""

    reason: str
    said: str


_NOTHING_TOLD = _Told("", "")


def _failure(*, provider: str, status: int | None, told: _Told, of: str = "") -> HubError:
    reason, said = told
    if status in (400, 413, None) and any(words in said for words in _CONTEXT_WORDS):
        return ContentTooLarge(f"The conversation is too long for this model. {provider} says: {reason}")
    if any(words in said for words in _FILTER_WORDS):
        message = f"{provider} refused the content: {reason}"
        return ProviderFailed(message, provider=provider, status=status, retryable=False)
    if any(words in said for words in _QUOTA_WORDS):
        # 429 as for too many requests, and yet no wait helps.
        message = f"{provider} has no quota or balance left for this key. It says: {reason}"
        return ProviderFailed(message, provider=provider, status=status, retryable=False)
    meaning = _MEANINGS.get(status or 0, f"{{provider}} failed{f' with status {status}' if status else ' midway'}.")
    message = meaning.format(provider=provider, setting="", of=of) + (f" It says: {reason}" if reason else "")
    retryable = status is None or status in RETRYABLE_STATUSES
    return ProviderFailed(message, provider=provider, status=status, retryable=retryable)


def _told(body: object, secret: str) -> _Told:
    try:
        parsed = msgspec.convert(body, _VendorErrorBody)
    except (msgspec.ValidationError, RecursionError):
        return _NOTHING_TOLD
    kind = ""
    if isinstance(parsed.error, _VendorError):
        text = " ".join(str(part) for part in (parsed.error.code, parsed.error.message) if part)
        kind = parsed.error.type or ""
    else:
        text = parsed.error or parsed.message
    text = text.replace(secret, "…") if secret else text
    reason = cleaned(text)[:LONGEST_REASON]
    return _Told(reason, f"{kind[:100]} {reason}".lower())
