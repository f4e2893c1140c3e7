"""What models were used for, by day, client, model and tool, in the admin; and as CSV. The URL is the state."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from channels.db import database_sync_to_async
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from conversations.models import ToolCall
from conversations.usage import DIMENSIONS, FINEST, UsageFilter, UsageSum, usage_by, usage_in_all
from exai.budget_states import BudgetState, budget_states
from exai.models import ApiClient, Budget, BudgetUnit
from exai.settings.hub import hub_settings

_MOST_ROWS = 500  # on the page; the export has them all
_LONGEST_DAYS = 3660
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NAMES_OF_SUMS = (
    *("calls", "unsuccessful", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("estimated_tokens", "excess_tokens"),
)
_CSV_HEADER = (
    *("day_utc", "workspace", "client_id", "client", "tool", "provider", "model", *_NAMES_OF_SUMS),
    *("cost_usd", "estimated_cost_usd", "excess_cost_usd", "calls_of_unknown_cost"),
)


class UsageForm(forms.Form):
    first = forms.DateField(required=False)
    last = forms.DateField(required=False)
    client = forms.ModelChoiceField(ApiClient.objects.all(), required=False)
    workspace = forms.CharField(max_length=64, required=False)
    by = forms.ChoiceField(choices=[(name, name) for name in DIMENSIONS], required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        today = datetime.now(UTC).date()
        given["last"] = given.get("last") or today
        given["first"] = given.get("first") or min(today.replace(day=1), given["last"])
        if given["first"] > given["last"]:
            self.add_error("last", "The last day lies before the first.")
        elif given["last"] == date.max:
            self.add_error("last", "No day follows that one.")
        elif (given["last"] - given["first"]).days >= _LONGEST_DAYS:
            self.add_error("first", f"At most {_LONGEST_DAYS:,} days at a time.")
        return given

    @property
    def chosen(self) -> UsageFilter:
        client = self.cleaned_data["client"]
        return UsageFilter(
            first=self.cleaned_data["first"],
            last=self.cleaned_data["last"],
            client_id=client.pk if client else None,
            workspace=self.cleaned_data["workspace"],
        )


class _Row(NamedTuple):
    name: str
    note: str
    calls_url: str
    usage: UsageSum
    shown: dict[str, str]
    cost: str


@require_GET
def usage(request: HttpRequest) -> HttpResponse:
    """`?first=&last=&client=&workspace=&by=`; by default this month's days."""
    _check_permission(request)
    form = UsageForm(request.GET)
    now = datetime.now(UTC)
    context: dict[str, Any] = {"form": form, "now": now, "ranges": _ranges(request, now.date())}
    if form.is_valid():
        chosen, by = form.chosen, form.cleaned_data["by"] or "day"
        rows = usage_by(chosen, DIMENSIONS[by])
        total = usage_in_all(chosen)
        context |= {
            "chosen": chosen,
            "by": by,
            "tabs": [(name, _url(request, by=name), name == by) for name in DIMENSIONS],
            "rows": [_row(by, chosen, row) for row in rows[:_MOST_ROWS]],
            "found": len(rows),
            "total": total,
            "total_shown": _shown(total),
            "total_cost": cost_words(total),
            "export_url": f"{reverse('usage-export')}?{request.GET.urlencode()}",
            "states": _states(request, chosen, now),
        }
    context |= {
        "workspaces": ApiClient.objects.order_by("workspace").values_list("workspace", flat=True).distinct(),
        "may_set_budgets": admin.site.get_model_admin(Budget).has_change_permission(request),
    }
    request.current_app = admin.site.name  # as the admin's own views do
    page = {**admin.site.each_context(request), "title": "Usage", "is_fullwidth": "1", **context}
    return TemplateResponse(request, "admin/exai/usage.html", page, status=200 if form.is_valid() else 400)


@require_GET
def export(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    """CSV of the same filters, at the finest grain: a row a day, client, tool and model. One day at a time is read."""
    _check_permission(request)
    form = UsageForm(request.GET)
    if not form.is_valid():
        return HttpResponse(form.errors.as_text(), status=400, content_type="text/plain; charset=utf-8")
    chosen = form.chosen
    response = StreamingHttpResponse(_csv(chosen), content_type="text/csv; charset=utf-8")
    name = f"usage-{chosen.first}-{chosen.last}-utc.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def cost_words(usage: UsageSum) -> str:
    """Never 0 for what is not known."""
    if not usage.used:
        return "–"
    if usage.known_cost is None:
        return "unknown"
    return f"${usage.known_cost:,.4f}"


async def _csv(chosen: UsageFilter) -> AsyncIterator[bytes]:
    yield _lines([_CSV_HEADER])
    for day in chosen.days():
        if rows := await database_sync_to_async(usage_by)(day, FINEST):
            yield _lines([_csv_row(row) for row in rows])


def _csv_row(row: UsageSum) -> tuple[object, ...]:
    known = row.known_cost is not None and row.used
    money = [f"{amount:f}" if known else "" for amount in (row.cost, row.estimated_cost, row.excess_cost)]
    return (*map(_safe, row.group), *(getattr(row, name) for name in _NAMES_OF_SUMS), *money, row.unpriced)


def _lines(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _safe(value: object) -> str:
    """Clients choose the names of tools and models: none of them becomes a formula of who opens the file."""
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def _check_permission(request: HttpRequest) -> None:
    if not admin.site.get_model_admin(ToolCall).has_view_permission(request):
        raise PermissionDenied


def _row(by: str, chosen: UsageFilter, usage: UsageSum) -> _Row:
    calls: dict[str, Any] = {"started_at__gte": chosen.first, "started_at__lt": chosen.last + timedelta(days=1)}
    if chosen.client_id is not None:
        calls["client__id__exact"] = chosen.client_id
    if chosen.workspace:
        calls["workspace"] = chosen.workspace
    name, note = str(usage.group[-1]), ""
    match by, usage.group:
        case "day", (date() as day,):
            calls |= {"started_at__gte": day, "started_at__lt": day + timedelta(days=1)}
        case "client", (client_id, client, workspace):
            calls |= {"client__id__exact": client_id, "workspace": workspace}
            name, note = client, workspace
        case "model", (provider, model):
            calls |= {"provider": provider, "model": model}
            name, note = model or "no model", provider
        case _:
            calls["tool"] = name
    in_utc = {key: f"{value} 00:00:00+00:00" if isinstance(value, date) else value for key, value in calls.items()}
    url = f"{reverse('admin:conversations_toolcall_changelist')}?{urlencode(in_utc)}"
    return _Row(name, note, url, usage, _shown(usage), cost_words(usage))


def _shown(usage: UsageSum) -> dict[str, str]:
    """Numbers that can be read at a glance; of what is seldom there "–" where it is not."""
    shown = {name: f"{getattr(usage, name):,}" for name in (*_NAMES_OF_SUMS, "tokens", "used", "unpriced", "estimated")}
    return {**shown, **{name: "–" for name in ("estimated_tokens", "excess_tokens") if not getattr(usage, name)}}


def _states(request: HttpRequest, chosen: UsageFilter, now: datetime) -> list[tuple[BudgetState, dict[str, str]]]:
    if not admin.site.get_model_admin(Budget).has_view_permission(request):
        return []
    budgets = Budget.objects.select_related("client")
    if chosen.client_id is not None:
        budgets = budgets.filter(client_id=chosen.client_id)
    if chosen.workspace:
        budgets = budgets.filter(workspace=chosen.workspace) | budgets.filter(client__workspace=chosen.workspace)
    url = hub_settings().redis_url
    redis_url = url.get_secret_value() if url else ""
    states = budget_states(list(budgets), now=now, redis_url=redis_url)
    return [(state, _words(state)) for state in states]


def _words(state: BudgetState) -> dict[str, str]:
    def words(amount: Decimal | None) -> str:
        if amount is None:
            return "unknown"
        return f"{amount:,.0f}" if state.budget.unit == BudgetUnit.TOKENS else f"${amount:,.4f}"

    return {"spent": words(state.spent), "held": words(state.held), "left": words(state.left)}


def _ranges(request: HttpRequest, today: date) -> list[tuple[str, str]]:
    this_month = today.replace(day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    ranges = (
        ("Today", today, today),
        ("7 days", today - timedelta(days=6), today),
        ("This month", this_month, today),
        ("Last month", last_month, this_month - timedelta(days=1)),
    )
    return [(name, _url(request, first=first, last=last)) for name, first, last in ranges]


def _url(request: HttpRequest, **changes: object) -> str:
    return f"{reverse('usage')}?{urlencode({**request.GET.dict(), **changes})}"
