"""Reading the workflow steps that a conversation keeps, those that were replaced included."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, LiteralString, NamedTuple

import msgspec
from django.db import connection

from conversations.selectors import BEYOND, MOST_BYTES_A_PAGE
from exai.tools.steps import Step

# As the messages are paged (conversations.selectors).
_PAGE: LiteralString = """
SELECT position, tool, content, call_id, created_at FROM (
    SELECT *, sum(octet_length(content)) OVER (ORDER BY position {order} ROWS UNBOUNDED PRECEDING)
        - octet_length(content) AS bytes_before
    FROM (
        SELECT position, tool, content::text AS content, call_id::text AS call_id, created_at FROM workflow_steps
        WHERE conversation_id = %s AND position {beyond} %s ORDER BY position {order} LIMIT %s
    ) next
) page WHERE bytes_before < %s ORDER BY position
"""
_NEWEST = _PAGE.format(order="DESC", beyond="<")
_NEWER = _PAGE.format(order="ASC", beyond=">")


class StoredStep(NamedTuple):
    """A step as it is read. `content`: JSON; `step` parses it."""

    position: int
    tool: str
    content: str
    call_id: str
    created_at: datetime

    @property
    def step(self) -> Step:
        return msgspec.json.decode(self.content, type=Step)


def get_newest_steps(conversation_id: int, *, limit: int) -> list[StoredStep]:
    """Oldest first, of all tools. Fewer where they come to 4 MiB."""
    return _page(_NEWEST, conversation_id, BEYOND, limit)


def every_page_of_steps(conversation_id: int, *, limit: int = 50) -> Iterator[list[StoredStep]]:
    """All of them, oldest first."""
    last = -1
    while page := _page(_NEWER, conversation_id, last, limit):
        yield page
        last = page[-1].position


def step_fields(stored: StoredStep) -> dict[str, Any]:
    """A step as programs read it: see conversations.exporting."""
    fields = {name: getattr(stored, name) for name in ("position", "tool", "call_id", "created_at")}
    return {**fields, "step": msgspec.json.decode(stored.content)}


def step_title(stored: StoredStep) -> str:
    step = stored.step
    ends = ", the last" if step.is_last else f" of {step.total}"
    return f"{stored.tool}, step {step.number}{ends}" + (" (replaces what was there)" if step.goes_back else "")


def step_text(step: Step) -> str:
    """For people: what was done and found. What only programs can read is in `step_fields`."""
    told: dict[str, Any] = {
        "Confidence": step.confidence,
        "Hypothesis": step.hypothesis,
        "Files checked": ", ".join(step.files_checked),
        "Files": ", ".join(file.name for file in step.files),
        "Code": ", ".join(step.relevant_context),
        **{name: value for name, value in step.details.items() if isinstance(value, str | int | float)},
    }
    lines = [f"{name}: {value}" for name, value in told.items() if value != ""]
    lines += [f"Issue: {msgspec.json.encode(issue).decode()}" for issue in step.issues_found]
    return "\n\n".join(part for part in (step.text, step.findings, "\n".join(lines)) if part)


def _page(statement: LiteralString, conversation_id: int, bound: int, limit: int) -> list[StoredStep]:
    with connection.cursor() as cursor:
        cursor.execute(statement, (conversation_id, bound, limit, MOST_BYTES_A_PAGE))
        return [StoredStep(*row) for row in cursor.fetchall()]
