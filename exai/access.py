"""Clients and their tokens: making, changing and disabling them.

A token is shown once and stored as its SHA-256: made from 256 random bits, it needs no slow hash. A change reaches
the live connections of the client within a second (exai.gateway.presence).
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from exai.models import ApiClient, ToolProfile
from exai.models.api_client import default_scopes

SHORTEST_TOKEN = 32  # characters, of a token that a client chooses itself
ENVIRONMENT_CLIENT = "env"


class AccessError(Exception):
    """A change to a client that cannot be made; the message says why and what to do."""


def token_hash(token: str) -> str:
    """Hexadecimal SHA-256 of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _token_start(token: str) -> str:
    # At most a quarter of it, so that a short token chosen by an operator is not given away.
    return token[: min(8, len(token) // 4)]


def _new_token() -> str:
    return "exai_" + secrets.token_urlsafe(32)


@transaction.atomic
def client_create(
    *,
    name: str,
    workspace: str | None = None,
    scopes: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    tool_profile: str = ToolProfile.STANDARD,
    tools_allowed: Sequence[str] = (),
    tools_denied: Sequence[str] = (),
) -> tuple[ApiClient, str]:
    """A new client and its token, which is not stored and cannot be shown again.

    Without `workspace` the client gets one of its own, named like it. The tools' names are the caller's to check.
    Raises `AccessError`.
    """
    if name == ENVIRONMENT_CLIENT:
        raise AccessError(f"The name {ENVIRONMENT_CLIENT} is kept for the token of EXAI_WS_TOKEN; choose another.")
    if workspace is None and ApiClient.objects.filter(workspace=name).exists():
        raise AccessError(
            f"A workspace named {name} exists already. To share it: --workspace {name}; else choose another name."
        )
    token = _new_token()
    client = ApiClient(
        name=name,
        workspace=workspace or name,
        scopes=default_scopes() if scopes is None else list(dict.fromkeys(scopes)),
        expires_at=expires_at,
        tool_profile=tool_profile,
        tools_allowed=list(dict.fromkeys(tools_allowed)),
        tools_denied=list(dict.fromkeys(tools_denied)),
        token_hash=token_hash(token),
        token_start=_token_start(token),
    )
    try:
        client.full_clean()
    except ValidationError as error:
        reasons = [f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items()]
        raise AccessError("; ".join(reasons)) from None
    client.save(force_insert=True)
    return client, token


def client_set_enabled(*, client: ApiClient, enabled: bool) -> None:
    client.enabled = enabled
    client.save(update_fields=["enabled"])


def client_rotate_token(*, client: ApiClient) -> str:
    """Gives the client a new token and returns it; the old one is refused from now on. Raises `AccessError`."""
    token = _new_token()
    _replace_token(client=client, token=token)
    return token


def client_replace_token(*, old: str, new: str, client_id: int) -> None:
    """A client changes its own token. Raises `AccessError` when `old` is not its token or `new` is too short."""
    if len(new) < SHORTEST_TOKEN:
        raise AccessError("weak_token")
    with transaction.atomic():
        client = ApiClient.objects.select_for_update().filter(pk=client_id, enabled=True).first()
        if client is None or not hmac.compare_digest(client.token_hash, token_hash(old)):
            raise AccessError("unauthorized")
        if ApiClient.objects.filter(token_hash=token_hash(new)).exclude(pk=client.pk).exists():
            # Telling that a token is in use would tell that it is valid.
            raise AccessError("weak_token")
        _replace_token(client=client, token=new)


def _replace_token(*, client: ApiClient, token: str) -> None:
    if client.name == ENVIRONMENT_CLIENT:
        raise AccessError("The token of this client is EXAI_WS_TOKEN: change it there and start the hub again.")
    client.token_hash = token_hash(token)
    client.token_start = _token_start(token)
    client.save(update_fields=["token_hash", "token_start"])


@transaction.atomic
def environment_client_update(*, token: str | None) -> None:
    """Makes the client `env` match EXAI_WS_TOKEN: there while it is set, disabled while it is not.

    Raises `AccessError` when another client has that token.
    """
    if token is None:
        ApiClient.objects.filter(name=ENVIRONMENT_CLIENT).update(enabled=False)
        return
    if ApiClient.objects.filter(token_hash=token_hash(token)).exclude(name=ENVIRONMENT_CLIENT).exists():
        raise AccessError("EXAI_WS_TOKEN is the token of another client; choose a different one.")
    ApiClient.objects.update_or_create(
        name=ENVIRONMENT_CLIENT,
        defaults={"token_hash": token_hash(token), "token_start": _token_start(token), "enabled": True},
        create_defaults={
            "workspace": ENVIRONMENT_CLIENT,
            "scopes": default_scopes(),
            "token_hash": token_hash(token),
            "token_start": _token_start(token),
        },
    )
