"""Tokens to clients, on the hot path's database pool."""

import hmac
from collections.abc import Collection
from typing import Any, LiteralString

import msgspec

from exai.access import token_hash
from exai.database import Database
from exai.models import Scope, ToolProfile
from exai.tools.profiles import tools_of

_PATIENCE_S = 5.0

_COLUMNS: LiteralString = """
    id, name, workspace, scopes, token_hash, tool_profile, tools_allowed, tools_denied,
    max_inflight, session_max_inflight, frame_rate
"""

_FIND: LiteralString = """
WITH found AS (
    SELECT * FROM clients
    WHERE token_hash = %s AND enabled AND (expires_at IS NULL OR expires_at > now())
), touched AS (
    UPDATE clients SET last_used_at = now() FROM found
    WHERE clients.id = found.id
      AND (clients.last_used_at IS NULL OR clients.last_used_at < now() - interval '1 minute')
)
SELECT {columns} FROM found
""".replace("{columns}", _COLUMNS)

_STILL_VALID: LiteralString = """
SELECT {columns} FROM clients
WHERE id = ANY(%s) AND enabled AND (expires_at IS NULL OR expires_at > now())
""".replace("{columns}", _COLUMNS)


class AuthenticatedClient(msgspec.Struct, frozen=True):
    """A client as it was when its token was checked. Two are equal when nothing that matters here has changed."""

    id: int
    name: str
    workspace: str
    scopes: frozenset[str]
    token_hash: str
    tool_profile: str = ToolProfile.STANDARD.value
    tools_allowed: tuple[str, ...] = ()
    tools_denied: tuple[str, ...] = ()
    max_inflight: int | None = None
    session_max_inflight: int | None = None
    frame_rate: int | None = None

    def __repr__(self) -> str:
        return f"<AuthenticatedClient {self.name}>"

    def may(self, scope: Scope) -> bool:
        return scope.value in self.scopes

    @property
    def is_admin(self) -> bool:
        return self.may(Scope.ADMIN)

    @property
    def may_use_files(self) -> bool:
        return self.may(Scope.FILES)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Of the tools that it is shown and may call."""
        if not self.may(Scope.TOOLS):
            return ()
        return tools_of(self.tool_profile, self.tools_allowed, self.tools_denied)


async def authenticate(database: Database, token: str) -> AuthenticatedClient | None:
    """The client of that token; None when the token is empty, unknown, expired or disabled. Raises `DatabaseAway`."""
    if not token:
        return None
    digest = token_hash(token)
    rows = await database.fetch(_FIND, (digest,), within_s=_PATIENCE_S)
    if not rows or not hmac.compare_digest(rows[0][4], digest):
        return None
    return _client(rows[0])


async def still_valid(database: Database, client_ids: Collection[int]) -> set[AuthenticatedClient]:
    """Those of these clients that may be connected, as they are now. Raises `DatabaseAway`."""
    rows = await database.fetch(_STILL_VALID, (list(client_ids),), within_s=_PATIENCE_S)
    return {_client(row) for row in rows}


def _client(row: tuple[Any, ...]) -> AuthenticatedClient:
    id_, name, workspace, scopes, digest, profile, allowed, denied, *limits = row
    return AuthenticatedClient(
        id_, name, workspace, frozenset(scopes), digest, profile, tuple(allowed), tuple(denied), *limits
    )
