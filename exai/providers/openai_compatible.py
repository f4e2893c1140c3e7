"""The chat-completions dialect over aiohttp: every vendor and endpoint speaks it.

Calls always stream, whatever the caller wants: a silent vendor is told from a slow one by the time between bytes.
A vendor that answers with plain JSON all the same is read too, to the same result.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import aiohttp
import msgspec

from exai.protocol.errors import HubError
from exai.providers.answer_reader import LONGEST_ANSWER, AnswerReader
from exai.providers.base import AnswerEvent, ModelInfo, ModelRequest
from exai.providers.failures import failure_of_status
from exai.providers.sse import EventLines, LineTooLong

LONGEST_ERROR_BODY = 64 * 1024  # bytes
_RETRY_AFTER = re.compile(r"[0-9]{1,6}")  # seconds; the other form, a date, is not read


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
        reader = AnswerReader(self.name, self._key)
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
            raise reader.gone("was silent for too long") from None
        except (aiohttp.ClientError, OSError) as error:
            began = isinstance(error, aiohttp.ClientPayloadError) or reader.text_so_far
            where = "broke off its answer" if began else "cannot be reached"
            raise reader.gone(f"{where} ({type(error).__name__})") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
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

    async def _read(self, response: aiohttp.ClientResponse, reader: AnswerReader) -> AsyncGenerator[AnswerEvent, None]:
        if response.content_type != "text/event-stream":
            for event in reader.read_whole(await self._whole_body(response, reader)):
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
                else:
                    for data in lines.end():
                        for event in reader.read_rest(data):
                            yield event
            except LineTooLong:
                if not reader.has_ended:
                    raise reader.gone("sent something that is no answer") from None
            except (aiohttp.ClientError, OSError):
                if not reader.has_ended:
                    raise
        yield reader.finish()

    async def _whole_body(self, response: aiohttp.ClientResponse, reader: AnswerReader) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > LONGEST_ANSWER:
                raise reader.too_much()
        return bytes(body)

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
