"""The chat-completions dialect over aiohttp: every vendor and endpoint speaks it, each with a `Dialect` of its own.

A silent vendor is told from a slow one by the time between bytes, so calls had better stream. One that answers with
plain JSON all the same, or is asked to, is read to the same result.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import aiohttp
import msgspec

from exai.protocol.errors import ProviderUnreachable
from exai.providers.answer_reader import AnswerReader
from exai.providers.base import AnswerEvent, ModelInfo, ModelRequest
from exai.providers.dialect import Dialect
from exai.providers.endpoint import Endpoint
from exai.providers.images import check_images
from exai.providers.safe_headers import safe_headers
from exai.providers.sources import cited_sources, distinct
from exai.providers.sse import EventLines, LineTooLong
from exai.providers.token_counts import sum_of

# What follows the end of an answer is its usage, which is worth a moment and not the time of a silent vendor.
_GRACE_FOR_USAGE_S = 1.0
_STREAM_HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}

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
        dialect: Dialect | None = None,
    ) -> None:
        self.name = name
        self.models = tuple(models)
        self._infos = {info.id: info for info in models}
        self._dialect = dialect or Dialect()
        self._endpoint = Endpoint(
            name=name,
            base_url=base_url,
            key=key,
            key_setting=key_setting,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            headers=_STREAM_HEADERS,
        )
        self._url = f"{base_url}/chat/completions"

    def __repr__(self) -> str:
        return f"<OpenAICompatible {self.name}>"

    async def ask(self, request: ModelRequest) -> AsyncGenerator[AnswerEvent, None]:
        # Of a model that nobody described, nothing is known that it is able to.
        info = self._infos.get(request.model) or ModelInfo(request.model, 0)
        check_images(request, info, takes_addresses=self._dialect.takes_image_addresses)
        body = self._dialect.body(request, info)
        reader = AnswerReader(self.name, self._endpoint.key, self._dialect.own_functions)
        number = 0
        try:
            while True:
                number += 1
                async with aclosing(self._round(request, _encoder.encode(body), reader)) as events:
                    async for event in events:
                        yield event
                ended = reader.end_round()
                if not self._dialect.go_on(body, ended, number):
                    break
            finished = reader.finish(ended, takes_calls=bool(request.tools))
        except BaseException:
            # Rounds that were answered are billed, and so is an answer that a filter ended: also when nobody reads on.
            if reader.usage is not None:
                before = request.effort.unanswered
                request.effort.unanswered = reader.usage if before is None else sum_of(before, reader.usage)
            raise
        if number > 1 and not finished.sources:
            finished = msgspec.structs.replace(finished, sources=distinct(cited_sources(reader.text_so_far)))
        yield finished

    async def close(self) -> None:
        await self._endpoint.close()

    async def _round(
        self, request: ModelRequest, data: bytes, reader: AnswerReader
    ) -> AsyncGenerator[AnswerEvent, None]:
        """One request, and what is answered to it."""
        headers = self._dialect.headers(request, data)
        if not request.stream:
            headers = {**(headers or {}), "Accept": "application/json"}
        try:
            async with self._endpoint.session().post(
                self._url, data=data, headers=headers, allow_redirects=False
            ) as response:
                if request.effort.headers is not None:
                    request.effort.headers = safe_headers(response.headers, secret=self._endpoint.key)
                if response.status != 200:
                    failure = await self._endpoint.failure(response)
                    if text := reader.text_so_far:
                        failure.details["partial_text"] = text  # of the rounds before
                    raise failure
                self._dialect.heard(request, response.headers)
                try:
                    if response.content_type != "text/event-stream":
                        for event in reader.read_whole(await self._endpoint.whole_body(response)):
                            yield event
                        return
                    async with aclosing(self._stream(response, reader)) as events:
                        async for event in events:
                            yield event
                finally:
                    if not (reader.has_ended or reader.done):
                        response.close()  # the vendor stops working on an answer that nobody reads
        except aiohttp.SocketTimeoutError:
            raise reader.gone("was silent for too long", ProviderUnreachable) from None
        except (aiohttp.ClientError, OSError) as error:
            began = isinstance(error, aiohttp.ClientPayloadError) or reader.text_so_far
            where = "broke off its answer" if began else "cannot be reached"
            raise reader.gone(f"{where} ({type(error).__name__})", ProviderUnreachable) from None

    async def _stream(
        self, response: aiohttp.ClientResponse, reader: AnswerReader
    ) -> AsyncGenerator[AnswerEvent, None]:
        lines = EventLines()
        patience: float | None = None
        try:
            while True:
                if not reader.has_ended:
                    piece = await response.content.readany()
                else:
                    patience = patience or asyncio.get_running_loop().time() + _GRACE_FOR_USAGE_S
                    piece = await _piece_until(response.content, patience)
                if not piece:
                    break
                for data in lines.feed(piece):
                    for event in reader.read_chunk(data):
                        yield event
                if reader.done:
                    return
            for data in lines.end():
                for event in reader.read_rest(data):
                    yield event
        except LineTooLong:
            if not reader.has_ended:
                raise reader.gone("sent something that is no answer") from None
        except (aiohttp.ClientError, OSError):
            if not reader.has_ended:
                raise


async def _piece_until(content: aiohttp.StreamReader, when: float) -> bytes:
    """What comes next, or nothing where nothing came by then."""
    try:
        async with asyncio.timeout_at(when):
            return await content.readany()
    except TimeoutError:
        return b""
