"""What clients and workspaces have spent, by the record of every call: the ledger that budgets are filled from.

A call belongs to the day and month in which it began. What ended since then is found by the index over its end.
"""

import math
from typing import LiteralString

from exai.calls.budgets import Account, Amounts, LedgerSum
from exai.database import Database

_PATIENCE_S = 30.0  # for the month of a workspace that makes millions of calls

# Two minutes: longer than from the end of a call over its record to its settling (exai/calls/budgets.py).
_SUM: LiteralString = """
SELECT coalesce(sum(coalesce(input_tokens, 0)::bigint + coalesce(output_tokens, 0) + coalesce(estimated_tokens, 0)), 0),
       coalesce(sum(coalesce(cost, 0) + coalesce(estimated_cost, 0)), 0) * 1000000000,
       coalesce(array_agg(id::text) FILTER (WHERE ended_at > now() - interval '2 minutes'), '{}')
FROM tool_calls
"""
_OF_CLIENT: LiteralString = _SUM + "WHERE client_id = %s AND ended_at >= %s AND started_at >= %s AND started_at < %s"
_OF_WORKSPACE: LiteralString = _SUM + "WHERE workspace = %s AND ended_at >= %s AND started_at >= %s AND started_at < %s"


async def read_ledger(database: Database, account: Account) -> LedgerSum:
    """The sum of an account, in one statement. Raises `DatabaseAway`."""
    statement = _OF_WORKSPACE if account.client_id is None else _OF_CLIENT
    subject = account.workspace if account.client_id is None else account.client_id
    rows = await database.fetch(
        statement, (subject, account.begins, account.begins, account.ends), within_s=_PATIENCE_S
    )
    [(tokens, nano, lately)] = rows
    return LedgerSum(Amounts(int(tokens), math.ceil(nano)), lately)
