"""WebSockets to a path that there is not: anybody can ask for one, so none may fill the log."""

import aiohttp
import pytest

from tests.hub import RunningHub


@pytest.mark.parametrize("path", ["ws/", "ws/tools", "nothing/here", "admin/", "a%0Ab"])
async def test_an_unknown_path_is_refused_without_a_word_in_the_log(hub: RunningHub, path: str) -> None:
    before = len(hub.log_text())
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(hub.ws_url + path)
        assert refused.value.status == 403
        # A second answer, so that whatever the first one had to say is written.
        async with session.get(hub.http_url + "/health/live") as response:
            assert response.status == 200
    assert "No route" not in hub.log_text()[before:]
    assert "Traceback" not in hub.log_text()[before:]
    assert "403" not in hub.log_text()[before:]
