"""The chat-completions dialect over aiohttp: every vendor and endpoint speaks it.

Calls always stream, whatever the caller wants: a silent vendor is told from a slow one by the time between bytes.
A vendor that answers with plain JSON all the same is read too, to the same result.
"""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec

from exai.protocol.errors import HubError, ProviderFailed
from exai.protocol.values import Usage
from exai.providers.answer_text import AnswerText
from exai.providers.base import AnswerEvent, Finished, ModelInfo, ModelRequest, ReasoningDelta, TextDelta
from exai.providers.failures import failure_in_stream, failure_of_finish, failure_of_status
from exai.providers.sse import EventLines, LineTooLong

LONGEST_ERROR_BODY = 64 * 1024  # bytes
_RETRY_AFTER = re.compile(r"[0-9]{1,6}")  # seconds; the other form, a date, is not read


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None  # Kimi's place for it
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None


class _Content(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Content | None = None
    message: _Content | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None  # Kimi repeats it here


class _Completion(msgspec.Struct):
    """A chunk of a stream, or a whole answer: they differ in `delta` and `message` only."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_completions = msgspec.json.Decoder(_Completion)
_encoder = msgspec.json.Encoder()


class OpenAICompatible:
    """One endpoint. `key_setting` names where its key is configured, for the error that asks to check it."""

    is_test = False

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        key: str,
        key_setting: str,
        models: Sequence[ModelInfo],
        connect_timeout_s: float,
        read_timeout_s: float,
    ) -> None:
        self.name = name
        self.models = tuple(models)
        self._url = f"{base_url}/chat/completions"
        self._key = key
        self._key_setting = key_setting
        # `connect` holds for the whole of it, the look-up of the name and every address that is tried.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s, sock_read=read_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<OpenAICompatible {self.name}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        reader = _AnswerReader(self.name, self._key)
        try:
            async with self._open_session().post(
                self._url, data=_encoder.encode(self._body(request)), allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise await self._failure(response)
                try:
                    async with aclosing(self._read(response, reader)) as events:
                        async for event in events:
                            yield event
                finally:
                    if not reader.finished:
                        response.close()  # the vendor stops working on an answer that nobody reads
        except aiohttp.SocketTimeoutError:
            raise self._gone("was silent for too long", reader) from None
        except (aiohttp.ClientError, OSError) as error:
            began = isinstance(error, aiohttp.ClientPayloadError) or reader.text_so_far
            where = "broke off its answer" if began else "cannot be reached"
            raise self._gone(f"{where} ({type(error).__name__})", reader) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": request.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        return body

    def _open_session(self) -> aiohttp.ClientSession:
        # Made at first use: a session belongs to the event loop that runs then.
        if self._session is None:
            headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
            if self._key:
                headers["Authorization"] = f"Bearer {self._key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session

    async def _read(
        self, response: aiohttp.ClientResponse, reader: "_AnswerReader"
    ) -> AsyncGenerator[AnswerEvent, None]:
        if response.content_type != "text/event-stream":
            for event in reader.read_whole(await response.read()):
                yield event
        else:
            lines = EventLines()
            try:
                async for piece in response.content.iter_any():
                    for data in lines.feed(piece):
                        for event in reader.read_chunk(data):
                            yield event
                    if reader.done:
                        break
            except LineTooLong:
                raise self._gone("sent something that is no answer", reader) from None
        yield reader.finish()

    async def _failure(self, response: aiohttp.ClientResponse) -> HubError:
        body = bytearray()
        async for piece in response.content.iter_any():  # a single read gives what has arrived, not all of it
            body += piece
            if len(body) >= LONGEST_ERROR_BODY:
                break
        response.close()
        failure = failure_of_status(
            provider=self.name, setting=self._key_setting, status=response.status, body=bytes(body), secret=self._key
        )
        wait = response.headers.get("Retry-After", "")
        if _RETRY_AFTER.fullmatch(wait):
            failure.details["retry_after"] = int(wait)
        return failure

    def _gone(self, what: str, reader: "_AnswerReader") -> ProviderFailed:
        return ProviderFailed(
            f"{self.name} {what}.", provider=self.name, retryable=True, partial_text=reader.text_so_far
        )


class _AnswerReader:
    """Collects one answer from its chunks, and knows whether it is whole."""

    def __init__(self, provider: str, secret: str) -> None:
        self._provider = provider
        self._secret = secret
        self._content, self._reasoning = AnswerText(), AnswerText()
        self._pieces: list[str] = []
        self._usage: _Usage | None = None
        self._finish_reason: str | None = None
        self.done = False
        self.finished = False

    @property
    def text_so_far(self) -> str:
        return "".join(self._pieces)

    def read_chunk(self, data: bytes) -> list[AnswerEvent]:
        if data == b"[DONE]":
            self.done = True
            return []
        return self._take(self._decode(data))

    def read_whole(self, body: bytes) -> list[AnswerEvent]:
        events = self._take(self._decode(body))
        self._finish_reason = self._finish_reason or ("stop" if events else None)
        return events

    def finish(self) -> Finished:
        if self._finish_reason is None and not (self.done and self._pieces):
            raise self._broken("broke off its answer")
        refusal = failure_of_finish(provider=self._provider, reason=self._finish_reason, partial_text=self.text_so_far)
        if refusal is not None:
            raise refusal
        self.finished = True
        usage = self._usage or _Usage()
        prompt, completion = usage.prompt_tokens_details or _PromptDetails(), usage.completion_tokens_details
        return Finished(
            reason=self._finish_reason or "stop",
            usage=Usage(
                input_tokens=usage.prompt_tokens,
                output_tokens=usage.completion_tokens,
                cached_tokens=usage.cached_tokens if prompt.cached_tokens is None else prompt.cached_tokens,
                reasoning_tokens=completion.reasoning_tokens if completion else None,
            ),
        )

    def _decode(self, data: bytes) -> _Completion:
        try:
            return _completions.decode(data)
        except (msgspec.DecodeError, RecursionError):
            pass
        try:
            # Half of a surrogate pair is valid for the standard library's reader only.
            return msgspec.convert(json.loads(data), _Completion)
        except (ValueError, RecursionError):
            raise self._broken("sent something that is no answer") from None

    def _take(self, completion: _Completion) -> list[AnswerEvent]:
        if completion.error:
            failure = failure_in_stream(provider=self._provider, error=completion.error, secret=self._secret)
            if self._pieces:
                failure.details["partial_text"] = self.text_so_far
            raise failure
        self._usage = completion.usage or self._usage
        events: list[AnswerEvent] = []
        for choice in completion.choices[:1]:
            self._usage = choice.usage or self._usage
            part = choice.delta or choice.message or _Content()
            if part.reasoning_content and (reasoning := self._reasoning.clean(part.reasoning_content)):
                events.append(ReasoningDelta(reasoning))
            text = self._content.clean(part.content) if part.content else ""
            if choice.finish_reason:
                self._finish_reason = choice.finish_reason
                text += self._content.rest()
            if text:
                self._pieces.append(text)
                events.append(TextDelta(text))
        return events

    def _broken(self, what: str) -> ProviderFailed:
        return ProviderFailed(
            f"{self._provider} {what}.", provider=self._provider, retryable=True, partial_text=self.text_so_far
        )
