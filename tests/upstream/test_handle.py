"""Starting, steering and ending the upstream's process."""

import subprocess
import sys

import pytest

from tests.upstream import Upstream


def test_an_unknown_behaviour_is_refused() -> None:
    with Upstream() as upstream, pytest.raises(ValueError, match="chunkz"):
        upstream.behave("m", chunkz=3)


def test_waiting_for_what_never_comes_ends_with_what_did() -> None:
    with Upstream() as upstream:
        with pytest.raises(TimeoutError, match="0 of 1 requests for m"):
            upstream.wait_for_requests("m", 1, timeout_s=0.05)
        with pytest.raises(TimeoutError, match="No client of m"):
            upstream.wait_for_disconnect("m", timeout_s=0.05)


def test_the_process_ends_with_its_standard_input() -> None:
    command = [sys.executable, "-m", "tests.upstream", "--port", "0"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    output, _ = process.communicate(b"", timeout=20)
    assert output.startswith(b"listening on http://127.0.0.1:")
    assert process.returncode == 0
