"""The pages that a vendor's web search used, as it tells them or as its answer cites them."""

import re
from collections.abc import Iterable

from exai.providers.answer_text import cleaned
from exai.providers.base import Source

MOST_SOURCES = 50
_LONGEST_URL = 2048
_LONGEST_WORDS = 300  # of a title or a date
_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\((https?://[^\s()]{1,2048})\)")


def told_sources(listed: object) -> list[Source]:
    """Of GLM's `web_search` member: a list of `{title, link, publish_date, …}`. What is no such page is passed over.
    https://docs.z.ai/api-reference/llm/chat-completion"""
    pages = (page for page in (listed if isinstance(listed, list) else ()) if isinstance(page, dict))
    found = (_source(page.get("link"), page.get("title"), page.get("publish_date")) for page in pages)
    return [source for source in found if source is not None]


def cited_sources(text: str) -> list[Source]:
    """The Markdown links of an answer, for a vendor that searches and does not tell where."""
    found = (_source(url, title, "") for title, url in _LINK.findall(text))
    return [source for source in found if source is not None]


def distinct(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Each page once, the first ones."""
    by_url: dict[str, Source] = {}
    for source in sources:
        by_url.setdefault(source.url, source)
    return tuple(by_url.values())[:MOST_SOURCES]


def _source(url: object, title: object, published: object) -> Source | None:
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or len(url) > _LONGEST_URL:
        return None
    return Source(cleaned(url), title=_words(title), published=_words(published))


def _words(value: object) -> str:
    return cleaned(value[:_LONGEST_WORDS]) if isinstance(value, str) else ""
