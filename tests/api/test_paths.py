"""The HTTP API as a whole, of the real server."""

import pytest

from tests.api.caller import ApiCaller
from tests.api.sockets import raw_post
from tests.hub import RunningHub

_PATHS = ["/api/conversations/x/fork", "/api/nothing/", "/admin/login/"]
_MIB = 1024 * 1024


def test_a_path_that_there_is_not_is_answered_in_json(hub: RunningHub) -> None:
    caller = ApiCaller(hub.http_url, None)
    for method in ("GET", "POST", "DELETE"):
        assert caller.ask(method, "/api/nothing/").error == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", _PATHS)
def test_a_body_that_is_announced_as_too_large_is_refused_unread(hub: RunningHub, path: str) -> None:
    with raw_post(hub, None, f"Content-Length: {1024 * _MIB}", path=path) as request:
        assert request.answer().error == (413, "CONTENT_TOO_LARGE")
        assert request.is_closed()


@pytest.mark.parametrize("path", _PATHS)
def test_a_body_that_becomes_too_large_is_refused_before_its_end(hub: RunningHub, path: str) -> None:
    with raw_post(hub, None, "Transfer-Encoding: chunked", path=path) as request:
        request.send(*[b"100000\r\n" + b" " * _MIB + b"\r\n"] * 5)
        assert request.answer().error == (413, "CONTENT_TOO_LARGE")
        assert request.is_closed()
