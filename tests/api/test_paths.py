"""The HTTP API as a whole, of the real server."""

from tests.api.caller import ApiCaller
from tests.hub import RunningHub


def test_a_path_that_there_is_not_is_answered_in_json(hub: RunningHub) -> None:
    caller = ApiCaller(hub.http_url, None)
    for method in ("GET", "POST", "DELETE"):
        assert caller.ask(method, "/api/nothing/").error == (404, "NOT_FOUND")
