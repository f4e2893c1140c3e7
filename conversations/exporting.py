"""A conversation as a document: Markdown to read, JSON to keep. Both come piece by piece, a page of messages in memory
at a time, however long the conversation is.

JSON, schema `exai.conversation/1`, times in ISO 8601, money in US dollars as decimal strings, null where unknown:

    {"schema", "exported_at",
     "conversation": {"continuation_id", "title", "workspace", "client", "model", "begun_by_tool", "forked_from",
                      "forked_at_turn", "created_at", "updated_at", "deleted_at"},
     "files": [{"id", "name", "mime_type", "size_bytes", "added_at"}, …],
     "messages": [{"position", "role", "content", "reasoning", "model", "provider", "tokens", "tool", "call_id",
                   "files": [{"id", "name"}, …], "created_at"}, …],
     "steps": [{"position", "tool", "call_id", "created_at", "step": {…}}, …],
     "calls": [{"id", "tool", "client", "status", "error_code", "error_message", "model", "provider", "input_tokens",
                "cached_tokens", "reasoning_tokens", "output_tokens", "estimated_tokens", "cost", "estimated_cost",
                "cached", "queue_ms", "provider_ms", "total_ms", "started_at", "ended_at"}, …]}

Messages and workflow steps (exai.tools.steps) are oldest first, calls newest first. Tokens of clients and keys of
vendors are in neither.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from django.utils import timezone

from conversations.facts import Facts, conversation_facts, every_page_of_calls
from conversations.models import Conversation
from conversations.selectors import StoredMessage, every_page
from conversations.steps import StoredStep, every_page_of_steps, step_fields, step_text, step_title
from conversations.usage import UsageSum

SCHEMA = "exai.conversation/1"
_CALL_FIELDS = (
    *("id", "tool", "client__name", "status", "error_code", "error_message", "model", "provider", "input_tokens"),
    *("cached_tokens", "reasoning_tokens", "output_tokens", "estimated_tokens", "cost", "estimated_cost", "cached"),
    *("queue_ms", "provider_ms", "total_ms", "started_at", "ended_at"),
)
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~&-])")
_TICKS = re.compile(r"`+")


class ExportFormat(StrEnum):
    MARKDOWN = "markdown"
    JSON = "json"

    @property
    def content_type(self) -> str:
        return "application/json" if self is ExportFormat.JSON else "text/markdown; charset=utf-8"

    @property
    def suffix(self) -> str:
        return "json" if self is ExportFormat.JSON else "md"


def conversation_exported(conversation: Conversation, format_: ExportFormat) -> Iterator[str]:
    """The document in pieces; the database is read as they are taken."""
    return _json(conversation) if format_ is ExportFormat.JSON else _markdown(conversation)


def cost_words(usage: UsageSum) -> str:
    """What is known of a cost: never 0 for what nobody knows."""
    if not usage.used:
        return "none"
    if usage.known_cost is None:
        return "unknown"
    rest = f", and that of {usage.unpriced} calls is unknown" if usage.unpriced else ""
    return f"${usage.known_cost:,.4f}{rest}"


def _markdown(conversation: Conversation) -> Iterator[str]:
    facts = conversation_facts(conversation)
    yield _head(facts)
    for page in every_page(conversation.pk):
        yield "".join(map(_message, page))
    for steps in every_page_of_steps(conversation.pk):
        yield "".join(map(_step, steps))


def _head(facts: Facts) -> str:
    conversation, usage, details = facts.conversation, facts.usage, facts.conversation.details
    lines = [
        f"# {_plain(str(conversation))}",
        "",
        f"- Conversation: {conversation.continuation_id}",
        f"- Workspace: {_plain(conversation.workspace)}",
        f"- Client: {_plain(conversation.client.name)}",
        f"- Model: {_plain(conversation.model) or 'none'}",
        f"- Begun: {_time(conversation.created_at)}",
        f"- Last used: {_time(conversation.updated_at)}",
        f"- Turns: {facts.turns}",
        *([f"- Workflow steps: {facts.steps}"] if facts.steps else []),
        f"- Tokens: {usage.tokens:,}",
        f"- Cost: {cost_words(usage)}",
    ]
    if details.forked_from:
        lines.append(f"- Forked from: {_plain(details.forked_from)}, {details.forked_at_turn} turns of it")
    lines += [f"- File: {_plain(file.name)} ({file.size_bytes:,} bytes, {file.id})" for file in facts.files]
    return "\n".join(lines) + "\n"


def _message(message: StoredMessage) -> str:
    details = message.details
    facts = [f"{message.provider}/{message.model}" if message.provider else message.model, details.tool]
    if message.tokens is not None:
        facts.append(f"{message.tokens:,} tokens")
    told = " · ".join(_plain(fact) for fact in (*facts, _time(message.created_at)) if fact)
    parts = [f"\n## {message.position + 1}. {message.role.capitalize()}\n\n{told}\n"]
    if details.files:
        parts.append("\nFiles: " + ", ".join(_plain(file.name) for file in details.files) + "\n")
    if details.reasoning:
        folded = _fenced(details.reasoning)
        parts.append(f"\n<details><summary>Reasoning</summary>\n\n{folded}\n</details>\n")
    parts.append("\n" + _fenced(message.content))
    return "".join(parts)


def _step(stored: StoredStep) -> str:
    head = f"\n## {_plain(step_title(stored))}\n\n{_time(stored.created_at)}\n\n"
    return head + _fenced(step_text(stored.step))


def _fenced(text: str) -> str:
    """Text between fences that are longer than any run of backticks in it, so that nothing in it ends them."""
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}markdown\n{text}\n{fence}\n"


def _plain(text: str) -> str:
    """One line of text that means nothing in Markdown."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _time(moment: datetime) -> str:
    return timezone.localtime(moment).isoformat(sep=" ", timespec="seconds")


def _json(conversation: Conversation) -> Iterator[str]:
    facts, details = conversation_facts(conversation), conversation.details
    about = {
        **{name: getattr(conversation, name) for name in ("continuation_id", "title", "workspace")},
        "client": conversation.client.name,
        "model": conversation.model,
        **{name: getattr(details, name) for name in ("begun_by_tool", "forked_from", "forked_at_turn")},
        **{name: getattr(conversation, name) for name in ("created_at", "updated_at", "deleted_at")},
    }
    yield f'{{"schema":{_encoded(SCHEMA)},"exported_at":{_encoded(timezone.now())},'
    yield f'"conversation":{_encoded(about)},"files":{_encoded([file._asdict() for file in facts.files])},'
    yield '"messages":['
    yield from _listed(map(message_fields, page) for page in every_page(conversation.pk))
    yield '],"steps":['
    yield from _listed(map(step_fields, page) for page in every_page_of_steps(conversation.pk))
    yield '],"calls":['
    yield from _listed(map(_call, page) for page in every_page_of_calls(conversation, _CALL_FIELDS))
    yield "]}\n"


def _listed(pages: Iterable[Iterable[dict[str, Any]]]) -> Iterator[str]:
    separator = ""
    for page in pages:
        yield separator + ",".join(map(_encoded, page))
        separator = ","


def _call(row: dict[str, Any]) -> dict[str, Any]:
    return {name.removesuffix("__name"): value for name, value in row.items()}


def message_fields(message: StoredMessage) -> dict[str, Any]:
    """A message as programs read it: see the schema above."""
    details = message.details
    return {
        **{name: getattr(message, name) for name in ("position", "role", "content")},
        "reasoning": details.reasoning,
        **{name: getattr(message, name) for name in ("model", "provider", "tokens")},
        "tool": details.tool,
        "call_id": details.call_id,
        "files": details.files,
        "created_at": message.created_at,
    }


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()
