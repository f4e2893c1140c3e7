"""Reads one answer of the chat-completions dialect from its chunks, and knows whether it is whole.

Lenient where an answer that is paid for would be lost otherwise: what is odd beside its text is passed over.
"""

import json
from typing import Any

import msgspec

from exai.protocol.errors import ProviderFailed
from exai.providers.answer_text import AnswerText
from exai.providers.base import AnswerEvent, Finished, ReasoningDelta, TextDelta
from exai.providers.failures import failure_in_stream, failure_of_finish
from exai.providers.token_counts import usage_of

LONGEST_ANSWER = 32 * 1024 * 1024  # bytes of a JSON body, or of the text and reasoning of a stream


class _Content(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Content | None = None
    message: _Content | None = None
    finish_reason: str | None = None
    usage: Any = None  # Kimi repeats it here


class _Completion(msgspec.Struct):
    """A chunk of a stream, or a whole answer: they differ in `delta` and `message` only."""

    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_EMPTY = _Completion()
_completions: msgspec.json.Decoder[_Completion | None] = msgspec.json.Decoder(_Completion | None)


class _NoCompletion(Exception):
    pass


class AnswerReader:
    """Its methods raise `HubError`s. `done`: the vendor said that nothing more comes."""

    def __init__(self, provider: str, secret: str) -> None:
        self._provider = provider
        self._secret = secret
        self._content, self._reasoning = AnswerText(), AnswerText()
        self._pieces: list[str] = []
        self._bytes_taken = 0
        self._usage: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self.done = False
        self.finished = False

    @property
    def text_so_far(self) -> str:
        return "".join(self._pieces)

    @property
    def has_ended(self) -> bool:
        """Whether the whole text is there: what follows it can only tell of its usage."""
        return self._finish_reason is not None

    def read_chunk(self, data: bytes) -> list[AnswerEvent]:
        if data == b"[DONE]":
            self.done = True
            return []
        try:
            return self._take(_decode(data))
        except _NoCompletion:
            if self.has_ended:
                return []
            raise self.gone("sent something that is no answer") from None

    def read_rest(self, data: bytes) -> list[AnswerEvent]:
        """The last event, whose end of line did not come; half of one is passed over."""
        try:
            return self.read_chunk(data) if data == b"[DONE]" else self._take(_decode(data))
        except _NoCompletion:
            return []

    def read_whole(self, body: bytes) -> list[AnswerEvent]:
        try:
            events = self._take(_decode(body))
        except _NoCompletion:
            raise self.gone("sent something that is no answer") from None
        self._finish_reason = self._finish_reason or ("stop" if events else None)
        return events

    def finish(self) -> Finished:
        if not self.has_ended and not (self.done and self._pieces):
            raise self.gone("broke off its answer")
        reason = self._finish_reason or "stop"
        refusal = failure_of_finish(provider=self._provider, reason=reason, partial_text=self.text_so_far)
        if refusal is not None:
            raise refusal
        if not self._pieces:
            # Some vendors refuse a conversation for ever that holds an empty message.
            raise self.gone(f"answered without any text (it gives as its reason to end: {reason[:80]})")
        self.finished = True
        return Finished(reason=reason, usage=usage_of(self._usage))

    def gone(self, what: str) -> ProviderFailed:
        """The failure of an answer that is not whole."""
        return ProviderFailed(
            f"{self._provider} {what}.", provider=self._provider, retryable=True, partial_text=self.text_so_far
        )

    def too_much(self) -> ProviderFailed:
        # Without what came of it: that is too much to pass on, too.
        message = f"{self._provider} sent more than {LONGEST_ANSWER // 2**20} MiB."
        return ProviderFailed(message, provider=self._provider, retryable=True)

    def _take(self, completion: _Completion) -> list[AnswerEvent]:
        if completion.error:
            if self.has_ended:
                return []
            failure = failure_in_stream(provider=self._provider, error=completion.error, secret=self._secret)
            if self._pieces:
                failure.details["partial_text"] = self.text_so_far
            raise failure
        self._take_usage(completion.usage)
        events: list[AnswerEvent] = []
        for choice in (completion.choices or ())[:1]:
            self._take_usage(choice.usage)
            part = choice.delta or choice.message or _Content()
            if part.reasoning_content and (reasoning := self._reasoning.clean(part.reasoning_content)):
                self._count(reasoning)
                events.append(ReasoningDelta(reasoning))
            text = self._content.clean(part.content) if part.content else ""
            if choice.finish_reason:
                self._finish_reason = choice.finish_reason
                text += self._content.rest()
            if text:
                self._count(text)
                self._pieces.append(text)
                events.append(TextDelta(text))
        return events

    def _take_usage(self, usage: object) -> None:
        if usage and isinstance(usage, dict):
            self._usage = usage

    def _count(self, text: str) -> None:
        self._bytes_taken += len(text) if text.isascii() else len(text.encode())
        if self._bytes_taken > LONGEST_ANSWER:
            raise self.too_much()


def _decode(data: bytes) -> _Completion:
    try:
        return _completions.decode(data) or _EMPTY
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # Half of a surrogate pair is valid for the standard library's reader only.
        return msgspec.convert(json.loads(data), _Completion | None) or _EMPTY
    except (ValueError, RecursionError):
        raise _NoCompletion from None
