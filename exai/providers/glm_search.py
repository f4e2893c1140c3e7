"""Z.ai's web search by itself, without a model. https://docs.z.ai/api-reference/tools/web-search"""

from typing import Any, Literal

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.answer_text import cleaned
from exai.providers.base import Source
from exai.providers.endpoint import Endpoint
from exai.providers.glm import KEY_SETTING, NAME, search_engine
from exai.providers.sources import told_sources

Recency = Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "noLimit"]
MOST_RESULTS = 50
LONGEST_QUERY = 1000  # characters

_JSON = {"Content-Type": "application/json"}


class FoundPage(msgspec.Struct, frozen=True):
    """`content` is the vendor's summary of the page."""

    source: Source
    content: str
    site: str


class _Found(msgspec.Struct):
    search_result: list[Any] | None = None


class GlmSearch:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._engine = search_engine(endpoint.base_url)

    async def search(
        self,
        query: str,
        *,
        count: int = 10,
        recency: Recency = "noLimit",
        domain: str = "",
        engine: str = "",
        request_id: str = "",
        user_id: str = "",
    ) -> tuple[FoundPage, ...]:
        """`domain` narrows it to one site. `engine`: another than the platform's own. `request_id` and `user_id` are
        passed on, for the vendor to tell requests and users apart. Raises `HubError`s."""
        query = query.strip()
        if not query or len(query) > LONGEST_QUERY:
            raise InvalidValue(
                f"A search needs 1 to {LONGEST_QUERY} characters.", search_query=f"1 to {LONGEST_QUERY} characters"
            )
        if not 1 <= count <= MOST_RESULTS:
            raise InvalidValue(f"A search gives 1 to {MOST_RESULTS} pages.", count=f"1 to {MOST_RESULTS}")
        asked: dict[str, object] = {
            "search_engine": engine or self._engine,
            "search_query": query,
            "count": count,
            "search_recency_filter": recency,
        }
        given = {"search_domain_filter": domain, "request_id": request_id, "user_id": user_id}
        asked |= {name: value for name, value in given.items() if value}
        answer = await self._endpoint.request("POST", "/web_search", body=msgspec.json.encode(asked), headers=_JSON)
        try:
            found = msgspec.json.decode(answer, type=_Found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._endpoint.gone("sent something that is no answer") from None
        return tuple(
            FoundPage(source, _text(page.get("content")), _text(page.get("media")))
            for page in found.search_result or ()
            for source in told_sources([page])
        )

    async def close(self) -> None:
        await self._endpoint.close()


def glm_search(
    *, key: str, base_url: str, connect_timeout_s: float, read_timeout_s: float, key_setting: str = KEY_SETTING
) -> GlmSearch:
    """To be closed."""
    return GlmSearch(
        Endpoint(
            name=NAME,
            base_url=base_url,
            key=key,
            key_setting=key_setting,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
        )
    )


def _text(value: object) -> str:
    return cleaned(value) if isinstance(value, str) else ""
