"""Where a vendor is reached: one HTTP session with its key and timeouts, and its failures in the hub's words."""

import asyncio
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress

import aiohttp

from exai.protocol.errors import HubError, ProviderFailed
from exai.providers.failures import LONGEST_ERROR_BODY, failure_of_status, retry_after_s

_PATIENCE_FOR_ERROR_S = 5.0
LONGEST_BODY = 32 * 1024 * 1024  # bytes of an answer that is no stream


class Endpoint:
    """`key_setting` names where the key is configured, for the error that asks to check it."""

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        key: str,
        key_setting: str,
        connect_timeout_s: float,
        read_timeout_s: float,
        headers: Mapping[str, str] = {},
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.key = key
        self._key_setting = key_setting
        # `connect` holds for the whole of it, the look-up of the name and every address that is tried.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout_s, sock_read=read_timeout_s)
        self._headers = {**headers, **({"Authorization": f"Bearer {key}"} if key else {})}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Endpoint {self.name}>"

    def session(self) -> aiohttp.ClientSession:
        # Made at first use: a session belongs to the event loop that runs then.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        of: str = "address",
    ) -> bytes:
        """The body of a 2xx answer. `of` is what the path names, for the words of a 404. Raises `HubError`s."""
        try:
            async with self.session().request(
                method, self.base_url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                if not 200 <= response.status < 300:
                    raise await self.failure(response, of=of)
                return await self.whole_body(response)
        except aiohttp.SocketTimeoutError:
            raise self.gone("was silent for too long") from None
        except (aiohttp.ClientError, OSError) as error:
            began = isinstance(error, aiohttp.ClientPayloadError)
            where = "broke off its answer" if began else "cannot be reached"
            raise self.gone(f"{where} ({type(error).__name__})") from None

    async def whole_body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > LONGEST_BODY:
                response.close()
                raise self.gone(f"sent more than {LONGEST_BODY // 2**20} MiB")
        return bytes(body)

    async def failure(self, response: aiohttp.ClientResponse, *, of: str = "model or address") -> HubError:
        """What an answer of another status than 2xx means."""
        body = bytearray()
        with suppress(aiohttp.ClientError, OSError):  # its status says enough, whatever becomes of its words
            async with asyncio.timeout(_PATIENCE_FOR_ERROR_S):
                async for piece in response.content.iter_any():  # a single read gives what has arrived, not all of it
                    body += piece
                    if len(body) >= LONGEST_ERROR_BODY:
                        break
        response.close()
        failure = failure_of_status(
            provider=self.name,
            setting=self._key_setting,
            status=response.status,
            body=bytes(body),
            secret=self.key,
            of=of,
        )
        wait = retry_after_s(response.headers.get("Retry-After", ""))
        if wait is not None:
            failure.details["retry_after"] = wait
        return failure

    def gone(self, what: str) -> ProviderFailed:
        return ProviderFailed(f"{self.name} {what}.", provider=self.name, retryable=True)
