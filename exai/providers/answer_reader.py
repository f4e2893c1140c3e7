"""Reads one answer of the chat-completions dialect from its chunks, and knows whether it is whole.

Lenient where an answer that is paid for would be lost otherwise: what is odd beside its text is passed over. An answer
may take several rounds, where a vendor asks back in between: their texts join, and their usage adds up.
"""

from typing import Any

import msgspec

from exai.protocol.errors import ProviderFailed
from exai.protocol.values import Usage
from exai.providers.answer_text import AnswerText
from exai.providers.base import AnswerEvent, Finished, FunctionCall, ReasoningDelta, Source, TextDelta
from exai.providers.completion import Completion, Content, NoCompletion, decode_completion
from exai.providers.failures import failure_in_stream, failure_of_finish
from exai.providers.function_calls import MOST_CALLS, CallGatherer, TooManyCalls
from exai.providers.sources import MOST_SOURCES, distinct, told_sources
from exai.providers.token_counts import sum_of, usage_of

LONGEST_ANSWER = 32 * 1024 * 1024  # bytes of a JSON body, or of the text, reasoning and calls of a stream
_BETWEEN_ROUNDS = "\n\n"
_NOTHING = Content()


class Round(msgspec.Struct, frozen=True):
    """What a vendor answered to one request."""

    reason: str
    text: str
    reasoning: str
    calls: tuple[FunctionCall, ...]


class AnswerReader:
    """Its methods raise `HubError`s. `done`: the vendor said that nothing more comes. Calls of `own_functions` are the
    dialect's own, and never the caller's to answer."""

    def __init__(self, provider: str, secret: str, own_functions: frozenset[str] = frozenset()) -> None:
        self._provider = provider
        self._secret = secret
        self._own_functions = own_functions
        self._content, self._reasoning = AnswerText(), AnswerText()
        self._pieces: list[str] = []
        self._bytes_taken = 0
        self._usage_so_far: Usage | None = None
        self._sources: list[Source] = []
        self._begin_round()

    def _begin_round(self) -> None:
        self._pieces_before = len(self._pieces)
        self._thoughts: list[str] = []
        self._calls: CallGatherer | None = None
        self._usage: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self.done = False

    @property
    def text_so_far(self) -> str:
        return "".join(self._pieces)

    @property
    def usage(self) -> Usage | None:
        """What the vendor has counted so far; None: it has told nothing."""
        if not self._usage:
            return self._usage_so_far
        return self._with_usage_of_this_round()

    @property
    def has_ended(self) -> bool:
        """Whether the whole text is there: what follows it can only tell of its usage."""
        return self._finish_reason is not None

    def read_chunk(self, data: bytes) -> list[AnswerEvent]:
        if data == b"[DONE]":
            self.done = True
            return []
        try:
            return self._take(decode_completion(data))
        except NoCompletion:
            if self.has_ended:
                return []
            raise self.gone("sent something that is no answer") from None

    def read_rest(self, data: bytes) -> list[AnswerEvent]:
        """The last event, whose end of line did not come; half of one is passed over."""
        try:
            return self.read_chunk(data) if data == b"[DONE]" else self._take(decode_completion(data))
        except NoCompletion:
            return []

    def read_whole(self, body: bytes) -> list[AnswerEvent]:
        try:
            events = self._take(decode_completion(body))
        except NoCompletion:
            raise self.gone("sent something that is no answer") from None
        self._finish_reason = self._finish_reason or ("stop" if events or self._calls else None)
        return events

    def end_round(self) -> Round:
        """What the round brought; what is read next belongs to another. Raises where it is not whole, or a filter
        ended it."""
        brought = self._pieces[self._pieces_before :]
        if not self.has_ended and not (self.done and (brought or self._calls)):
            raise self.gone("broke off its answer")
        reason = self._finish_reason or "stop"
        refusal = failure_of_finish(provider=self._provider, reason=reason, partial_text=self.text_so_far)
        if refusal is not None:
            raise refusal
        self._usage_so_far = self._with_usage_of_this_round()
        text = "".join(brought).removeprefix(_BETWEEN_ROUNDS) if self._pieces_before else "".join(brought)
        ended = Round(reason, text, "".join(self._thoughts), self._calls.whole() if self._calls else ())
        self._begin_round()
        return ended

    def finish(self, last: Round, *, takes_calls: bool) -> Finished:
        """The end of the answer, after its last round. Calls of one who offered no function are no answer to it."""
        calls = tuple(call for call in last.calls if takes_calls and call.name not in self._own_functions)
        if not self._pieces and not calls:
            # Some vendors refuse a conversation for ever that holds an empty message.
            raise self.gone(f"answered without any text (it gives as its reason to end: {last.reason[:80]})")
        return Finished(last.reason, self._usage_so_far or Usage(), calls, distinct(self._sources))

    def gone(self, what: str, kind: type[ProviderFailed] = ProviderFailed) -> ProviderFailed:
        """The failure of an answer that is not whole."""
        return kind(f"{self._provider} {what}.", provider=self._provider, retryable=True, partial_text=self.text_so_far)

    def too_much(self) -> ProviderFailed:
        # Without what came of it: that is too much to pass on, too.
        message = f"{self._provider} sent more than {LONGEST_ANSWER // 2**20} MiB."
        return ProviderFailed(message, provider=self._provider, retryable=True)

    def _with_usage_of_this_round(self) -> Usage:
        usage = usage_of(self._usage)
        return usage if self._usage_so_far is None else sum_of(self._usage_so_far, usage)

    def _take(self, completion: Completion) -> list[AnswerEvent]:
        if completion.error:
            if self.has_ended:
                return []
            failure = failure_in_stream(provider=self._provider, error=completion.error, secret=self._secret)
            if self._pieces:
                failure.details["partial_text"] = self.text_so_far
            raise failure
        self._take_usage(completion.usage)
        if completion.web_search and len(self._sources) < MOST_SOURCES:
            self._sources += told_sources(completion.web_search)
        events: list[AnswerEvent] = []
        for choice in (completion.choices or ())[:1]:
            self._take_usage(choice.usage)
            part = choice.delta or choice.message or _NOTHING
            thought = part.reasoning_content or part.reasoning
            if thought and isinstance(thought, str) and (thought := self._reasoning.clean(thought)):
                self._count(thought)
                self._thoughts.append(thought)
                events.append(ReasoningDelta(thought))
            if part.tool_calls:
                self._take_calls(part.tool_calls)
            text = self._content.clean(part.content) if part.content else ""
            if choice.finish_reason:
                self._finish_reason = choice.finish_reason
                text += self._content.rest()
            if text:
                if self._pieces_before and len(self._pieces) == self._pieces_before:
                    text = _BETWEEN_ROUNDS + text
                self._count(text)
                self._pieces.append(text)
                events.append(TextDelta(text))
        return events

    def _take_usage(self, usage: object) -> None:
        if usage and isinstance(usage, dict):
            self._usage = usage

    def _take_calls(self, fragments: object) -> None:
        self._calls = self._calls or CallGatherer()
        try:
            self._add(self._calls.take(fragments))
        except TooManyCalls:
            raise self.gone(f"asked for more than {MOST_CALLS} function calls") from None

    def _count(self, text: str) -> None:
        self._add(len(text) if text.isascii() else len(text.encode()))

    def _add(self, taken: int) -> None:
        self._bytes_taken += taken
        if self._bytes_taken > LONGEST_ANSWER:
            raise self.too_much()
