"""Paths that there are not, for programs: JSON instead of a page."""

from django.http import HttpRequest, HttpResponse

from exai.api.answers import error_answer
from exai.protocol.errors import NotFound


def unknown(request: HttpRequest) -> HttpResponse:
    return error_answer(NotFound("There is no such path below /api/; the README lists them."))


unknown.csrf_exempt = True  # type: ignore[attr-defined]
