"""What ended lately, read from the records of calls for the tools about the hub."""

from typing import Any, LiteralString

from exai.database import Database
from exai.tools.hub import CallFilter, EndedCallFacts

_MOST_SEARCHED = 20_000  # calls that a text is looked for in: a search must not cost what the table holds

_FAILURES: LiteralString = """
SELECT t.id, t.tool, t.model, t.provider, t.error_code, t.error_message, t.ended_at
FROM tool_calls t
WHERE {whose} AND t.status = 'failed' AND t.ended_at > now() - interval '1 hour'
ORDER BY t.ended_at DESC
LIMIT %s
"""

_ENDED: LiteralString = """
WITH recent AS (
    SELECT t.*
    FROM tool_calls t
    WHERE {whose} AND t.ended_at >= %s AND t.ended_at < %s AND (NOT %s OR t.status IN ('failed', 'abandoned'))
    ORDER BY t.ended_at DESC
    LIMIT %s
)
SELECT r.id::text, r.ended_at, c.name, r.workspace, r.tool, r.model, r.provider, r.status, r.error_code,
       r.error_message, r.input_tokens, r.output_tokens, r.cost::float8, r.total_ms
FROM recent r JOIN clients c ON c.id = r.client_id
WHERE %s = '' OR strpos(lower(concat_ws(
    ' ', r.tool, r.model, r.provider, r.status, r.error_code, r.error_message, c.name, r.workspace
)), lower(%s)) > 0
ORDER BY r.ended_at DESC
LIMIT %s
"""

# An index begins with the workspace, another one is by time alone: each has its statement.
_OF_ONE: LiteralString = "t.workspace = %s"
_OF_ALL: LiteralString = "%s::text IS NULL"


async def recent_failures(
    database: Database, *, workspace: str | None, most: int, within_s: float
) -> list[dict[str, Any]]:
    """Failed calls of the last hour in a workspace (None: in all), newest first. Raises `DatabaseAway`."""
    if most == 0:
        return []
    rows = await database.fetch(_of(_FAILURES, workspace), (workspace, most), within_s=within_s)
    names = ("call_id", "tool", "model", "provider", "error_code", "message", "ended_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


async def ended_calls(database: Database, wanted: CallFilter, *, within_s: float) -> list[EndedCallFacts]:
    """Newest first. Raises `DatabaseAway`."""
    searched = _MOST_SEARCHED if wanted.text else wanted.most
    rows = await database.fetch(
        _of(_ENDED, wanted.workspace),
        (
            *(wanted.workspace, wanted.since, wanted.until, wanted.only_failed, searched),
            *(wanted.text, wanted.text, wanted.most),
        ),
        within_s=within_s,
    )
    names = EndedCallFacts.__struct_fields__
    return [EndedCallFacts(**dict(zip(names, row, strict=True))) for row in rows]


def _of(statement: LiteralString, workspace: str | None) -> LiteralString:
    return statement.replace("{whose}", _OF_ALL if workspace is None else _OF_ONE)
