"""Who asks: the client of the bearer token, on every request anew. Cookies count for nothing here."""

import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase

from exai.api.answers import Forbidden, error_answer
from exai.database import DatabaseAway
from exai.gateway.authentication import AuthenticatedClient, authenticate
from exai.gateway.gateway import gateway
from exai.models import Scope
from exai.protocol.errors import HubError, InternalError, InvalidRequest, ServiceUnavailable, Unauthorized

logger = logging.getLogger(__name__)

Handler = Callable[..., HttpResponseBase]
_SCHEME = "bearer "
_LONGEST_HEADER = 1024  # characters


def api(scope: Scope, **handlers: Handler) -> Callable[..., Coroutine[Any, Any, HttpResponseBase]]:
    """A view that calls the handler of the request's method, `get=…, delete=…`, with the request, the client, and what
    the path holds. Handlers run on a thread and may use the ORM. They raise `HubError`s; all they do must be within
    the client's workspace."""

    async def view(request: HttpRequest, **path: Any) -> HttpResponseBase:
        try:
            handler = handlers.get((request.method or "").lower())
            if handler is None:
                return _method_not_allowed(request, handlers)
            client = await client_of(request.headers.get("Authorization", ""), scope)
            return await sync_to_async(handler)(request, client, **path)
        except HubError as error:
            return error_answer(error)
        except (OperationalError, InterfaceError) as error:
            logger.warning("%s %s: PostgreSQL is away: %s", request.method, request.path, type(error).__name__)
            return error_answer(DatabaseAway())
        except Exception:  # the caller gets a reference, and no page of HTML
            reference = secrets.token_hex(6)
            logger.exception("%s %s failed, reference %s", request.method, request.path, reference)
            return error_answer(InternalError(reference))

    # No cookie is looked at, so that no other site can make a browser ask on somebody's behalf.
    view.csrf_exempt = True  # type: ignore[attr-defined]
    return view


async def client_of(authorization: str, scope: Scope) -> AuthenticatedClient:
    """The client of an `Authorization` header. Raises `Unauthorized`, `Forbidden`, `ServiceUnavailable`."""
    if gateway().hub.draining:
        raise ServiceUnavailable("The hub is about to stop. Try again in a few seconds.", retry_after=5)
    if authorization[: len(_SCHEME)].lower() != _SCHEME or len(authorization) > _LONGEST_HEADER:
        raise Unauthorized("Send the client's token: `Authorization: Bearer …`.")
    client = await authenticate(gateway().database, authorization[len(_SCHEME) :].strip())
    if client is None:
        raise Unauthorized("This token is not known, has expired, or is disabled.")
    if not client.may(scope):
        raise Forbidden(f"This client may not do that: its token lacks the scope {scope.value}.")
    return client


def _method_not_allowed(request: HttpRequest, handlers: dict[str, Handler]) -> HttpResponseBase:
    allowed = ", ".join(method.upper() for method in handlers)
    answer = error_answer(InvalidRequest(f"{request.method} is not done here, but {allowed}."))
    answer.status_code = 405
    answer["Allow"] = allowed
    return answer
