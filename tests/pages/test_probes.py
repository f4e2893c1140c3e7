"""Load balancers ask by address: what they send as Host is no name that the hub knows."""

import http.client

import pytest

from tests.hub import RunningHub


def _status(hub: RunningHub, method: str, path: str, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["10.0.0.7", "10.0.0.7:8079", "[fd00::7]", "any.example", "", "no_name,at all"])
@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_a_probe_is_answered_whatever_its_host(hub: RunningHub, path: str, host: str) -> None:
    assert _status(hub, "GET", path, host) == 200
    assert _status(hub, "HEAD", path, host) == 200


@pytest.mark.parametrize("path", ["/", "/admin/login/", "/health/", "/health/live/", "/health/nothing"])
def test_everything_else_is_refused_to_an_unknown_host(hub: RunningHub, path: str) -> None:
    assert _status(hub, "GET", path, "10.0.0.7") == 400
