"""Conversations of the client's workspace: `/api/conversations/`."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from conversations.downloads import export_response
from conversations.exporting import ExportFormat, message_fields
from conversations.facts import Facts, conversation_calls, conversation_facts
from conversations.forking import conversation_fork
from conversations.listing import MOST_A_PAGE as MOST_LISTED
from conversations.listing import Chosen, Place, conversations_listed, the_conversation
from conversations.models import Conversation, ToolCall
from conversations.searching import MOST_A_PAGE as MOST_HITS
from conversations.searching import search
from conversations.selectors import BEYOND, MOST_A_PAGE, StoredMessage, get_conversation_messages
from conversations.services import conversation_delete, conversation_rename, conversation_restore
from conversations.steps import get_newest_steps, step_fields
from exai.api.answers import json_answer
from exai.api.parameters import body_of, moment, query_of, whole_number
from exai.gateway.authentication import AuthenticatedClient
from exai.models import ApiClient
from exai.protocol.errors import InvalidValue, NotFound
from exai.settings.hub import hub_settings

_LIST_PARAMETERS = ("q", "limit", "after", "client", "model", "since", "bin")
_CALLS_SHOWN = 50
_STEPS_SHOWN = 50


def listed(request: HttpRequest, client: AuthenticatedClient) -> HttpResponse:
    """`{"conversations": […], "next"}`, last used first; with `?q=` `{"hits": […], "next"}`, newest message first.
    `next`, given as `after`, gives the next page; null: there is none. `?client=` is the name of a client."""
    query = query_of(request, _LIST_PARAMETERS)
    if "q" in query:
        return _hits(query, client)
    chosen = Chosen(
        client.workspace,
        client=query.get("client", ""),
        model=query.get("model", ""),
        since=moment(query, "since"),
        in_bin=_yes_or_no(query, "bin"),
    )
    after = Place.of(query["after"]) if "after" in query else None
    limit = whole_number(query, "limit", least=1, most=MOST_LISTED, default=50)
    page = conversations_listed(chosen, after=after, limit=limit or MOST_LISTED)
    rows = [{name: value for name, value in row._asdict().items() if name != "id"} for row in page.conversations]
    return json_answer({"conversations": rows, "next": str(page.next) if page.next else None})


def shown(request: HttpRequest, client: AuthenticatedClient, continuation_id: str) -> HttpResponse:
    """Facts, the newest page of messages, the newest workflow steps, and the newest calls."""
    query_of(request, ())
    return _shown(_one(client, continuation_id))


def messages(request: HttpRequest, client: AuthenticatedClient, continuation_id: str) -> HttpResponse:
    """`{"messages": […], "before", "after"}`: a page, oldest first; the newest, or that `?before=` or `?after=` a
    position. `before` and `after` lead on; null: there are none at the moment."""
    query = query_of(request, ("before", "after", "limit"))
    if "before" in query and "after" in query:
        raise InvalidValue("A page lies before or after a position.", after="only without before")
    before = whole_number(query, "before", least=0, most=BEYOND, default=None)
    after = whole_number(query, "after", least=0, most=BEYOND, default=None)
    limit = whole_number(query, "limit", least=1, most=MOST_A_PAGE, default=50)
    conversation = _one(client, continuation_id)
    page = get_conversation_messages(conversation, before=before, after=after, limit=limit or MOST_A_PAGE)
    return json_answer(_page(conversation, page))


def deleted(request: HttpRequest, client: AuthenticatedClient, continuation_id: str) -> HttpResponse:
    """Puts it into the bin: `{"continuation_id", "deleted": true, "days_in_bin"}`."""
    conversation = _one(client, continuation_id)
    conversation_delete(conversation=conversation)
    return json_answer(
        {"continuation_id": conversation.continuation_id, "deleted": True, "days_in_bin": hub_settings().bin_days}
    )


def restored(request: HttpRequest, client: AuthenticatedClient, continuation_id: str) -> HttpResponse:
    """Takes it out of the bin. Facts, as `shown`."""
    conversation = _one(client, continuation_id, in_bin=True)
    conversation_restore(conversation=conversation)
    return _shown(_one(client, continuation_id))


def renamed(request: HttpRequest, client: AuthenticatedClient, continuation_id: str) -> HttpResponse:
    """`{"title": "…"}`. Facts, as `shown`."""
    title = body_of(request, ("title",)).get("title")
    if not isinstance(title, str):
        raise InvalidValue("Give a title.", title="a text")
    conversation_rename(conversation=_one(client, continuation_id), title=title)
    return _shown(_one(client, continuation_id))


def forked(request: HttpRequest, client: AuthenticatedClient, continuation_id: str) -> HttpResponse:
    """`{"turn": N}`: a new conversation of the caller with the first N turns; all of them without. Facts of it."""
    turn = body_of(request, ("turn",)).get("turn")
    if turn is not None and (not isinstance(turn, int) or isinstance(turn, bool)):
        raise InvalidValue("turn is wrong.", turn="a whole number")
    source = _one(client, continuation_id)
    return _shown(conversation_fork(conversation=source, turns=turn, client_id=client.id), status=201)


def exported(
    request: HttpRequest, client: AuthenticatedClient, continuation_id: str
) -> HttpResponse | StreamingHttpResponse:
    """`?format=markdown` (the default) or `json`: the whole conversation, as conversations.exporting describes it."""
    query = query_of(request, ("format",))
    try:
        format_ = ExportFormat(query.get("format", "markdown"))
    except ValueError:
        raise InvalidValue("format is wrong.", format="one of " + ", ".join(ExportFormat)) from None
    return export_response(_one(client, continuation_id), format_)


def _hits(query: dict[str, str], client: AuthenticatedClient) -> HttpResponse:
    if superfluous := query.keys() & {"model", "since", "bin"}:
        raise InvalidValue("These do not go with q.", **dict.fromkeys(superfluous, "not with q"))
    limit = whole_number(query, "limit", least=1, most=MOST_HITS, default=20)
    found = search(
        query["q"],
        workspace=client.workspace,
        client_id=_client_id(query["client"], client.workspace) if "client" in query else None,
        before=whole_number(query, "after", least=0, most=2**63 - 1, default=None),
        limit=limit or MOST_HITS,
    )
    hits = [
        {
            **{name: getattr(hit, name) for name in ("continuation_id", "title", "position", "role", "created_at")},
            "snippet": [{"text": text, "match": match} for text, match in hit.snippet],
        }
        for hit in found.hits
    ]
    return json_answer({"hits": hits, "next": None if found.before is None else str(found.before)})


def _client_id(name: str, workspace: str) -> int:
    """0, which no client has, when the workspace has none of that name."""
    return ApiClient.objects.filter(name=name, workspace=workspace).values_list("pk", flat=True).first() or 0


def _one(client: AuthenticatedClient, continuation_id: str, *, in_bin: bool = False) -> Conversation:
    try:
        id_ = UUID(continuation_id)
    except ValueError:
        raise NotFound("There is no such conversation.", continuation_id="not found") from None
    return the_conversation(str(id_), workspace=client.workspace, in_bin=in_bin)


def _shown(conversation: Conversation, *, status: int = 200) -> HttpResponse:
    facts = conversation_facts(conversation)
    page = get_conversation_messages(conversation)
    calls = [_call(call) for call in conversation_calls(conversation)[:_CALLS_SHOWN]]
    steps = [step_fields(step) for step in get_newest_steps(conversation.pk, limit=_STEPS_SHOWN)]
    return json_answer({**_facts(facts), **_page(conversation, page), "steps": steps, "calls": calls}, status=status)


def _facts(facts: Facts) -> dict[str, Any]:
    conversation, usage, details = facts.conversation, facts.usage, facts.conversation.details
    return {
        **{name: getattr(conversation, name) for name in ("continuation_id", "title", "workspace")},
        "client": conversation.client.name,
        "model": conversation.model,
        "forked_from": details.forked_from or None,
        "forked_at_turn": details.forked_at_turn or None,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "turns": facts.turns,
        "workflow_steps": facts.steps,
        "tokens": usage.tokens,
        "cost_usd": usage.known_cost if usage.used else None,
        "calls_of_unknown_cost": usage.unpriced,
        "files": [file._asdict() for file in facts.files],
    }


def _page(conversation: Conversation, page: list[StoredMessage]) -> dict[str, Any]:
    if not page:
        return {"messages": [], "before": None, "after": None}
    first, last = page[0].position, page[-1].position
    newer = get_conversation_messages(conversation, after=last, limit=1)
    return {
        "messages": [message_fields(message) for message in page],
        "before": first or None,  # positions begin at 0
        "after": last if newer else None,
    }


def _call(call: ToolCall) -> dict[str, Any]:
    names = ("id", "tool", "status", "error_code", "provider", "model", "input_tokens", "output_tokens", "cost")
    return {**{name: getattr(call, name) for name in names}, "total_ms": call.total_ms, "ended_at": call.ended_at}


def _yes_or_no(query: dict[str, str], name: str) -> bool:
    if query.get(name, "false") not in ("true", "false"):
        raise InvalidValue(f"{name} is wrong.", **{name: "true or false"})
    return query.get(name) == "true"
