"""manage.py call: a real process against a real hub."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hub import PROJECT_DIR, RunningHub, hub_environment
from tests.upstream import Upstream

_PATIENCE_S = 30


def _command(hub: RunningHub, token: str, *words: str) -> list[str]:
    return [sys.executable, "manage.py", "call", *words, "--url", hub.ws_url, "--token", token]


def _call(hub: RunningHub, token: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(hub, token, *words),
        cwd=PROJECT_DIR,
        env=hub_environment({}),
        capture_output=True,
        text=True,
        input=stdin,
        timeout=_PATIENCE_S,
        check=False,
    )


def test_an_answer_goes_to_standard_output_and_all_about_it_to_standard_error(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="The answer.", chunks=3)
    done = _call(hub, token, "chat", "prompt=What?", f"model={model}", "temperature=0.5")
    assert (done.returncode, done.stdout) == (0, "The answer.\n")
    assert model in done.stderr
    assert re.search(r"--continue [0-9a-f-]{36} \(19 turns left\)", done.stderr)
    assert upstream.requests(model)[0].body["temperature"] == 0.5


def test_continue_goes_on_with_the_conversation(hub: RunningHub, token: str, upstream: Upstream, model: str) -> None:
    first = _call(hub, token, "chat", "--json", json.dumps({"prompt": "one", "model": model}), "--no-stream")
    continued = re.search(r"--continue (\S+)", first.stderr)
    assert continued is not None
    assert _call(hub, token, "chat", "prompt=two", "--continue", continued[1]).returncode == 0
    assert len(upstream.requests(model)[1].body["messages"]) == 4


def test_a_value_comes_from_a_file_or_from_standard_input(
    hub: RunningHub, token: str, upstream: Upstream, model: str, tmp_path: Path
) -> None:
    (tmp_path / "question.txt").write_text("from a file")
    assert _call(hub, token, "chat", f"prompt=@{tmp_path}/question.txt", f"model={model}").returncode == 0
    assert _call(hub, token, "chat", "prompt=@-", f"model={model}", stdin="from a pipe").returncode == 0
    assert _call(hub, token, "chat", "prompt=@@literally", f"model={model}").returncode == 0
    prompts = [request.body["messages"][-1]["content"] for request in upstream.requests(model)]
    assert prompts == ["from a file", "from a pipe", "@literally"]


def test_raw_prints_the_result_frame_and_nothing_else(hub: RunningHub, token: str) -> None:
    done = _call(hub, token, "version", "--raw")
    frame = json.loads(done.stdout)
    assert (frame["op"], frame["ok"], done.stderr) == ("call_tool_res", True, "")


def test_list_shows_every_tool_with_its_arguments(hub: RunningHub, token: str) -> None:
    done = _call(hub, token, "--list")
    assert done.returncode == 0
    assert "listmodels" in done.stdout
    assert "thinking_mode=minimal|low|medium|high|max" in done.stdout
    assert "prompt=string (required)" in done.stdout


def test_a_tool_about_the_hub_shows_its_json(hub: RunningHub, token: str) -> None:
    assert json.loads(_call(hub, token, "version").stdout)["name"] == "EXAI"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "--list"),
        (["no_such_tool"], 2, "There are: chat"),
        (["chat", "prompt"], 2, "key=value"),
        (["chat", "prompt=x", "temperature=warm"], 2, "should be a number"),
        (["chat", "prompt=x", "stream=maybe"], 2, "true or false"),
        (["chat", "prompt=@/no/such/file"], 2, "No such file"),
        (["chat", "--json", "{"], 2, "not JSON"),
        (["chat", "--json", "[]"], 2, "takes an object"),
        (["chat", "prompt=x", "temperature=3"], 1, "VALIDATION_ERROR"),
        (["chat", "prompt=x", "model=nope"], 1, "There is no model"),
    ],
)
def test_errors_are_readable_and_have_their_exit_code(
    hub: RunningHub, token: str, words: list[str], code: int, said: str
) -> None:
    done = _call(hub, token, *words)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_refused_token_and_an_absent_hub_are_told_apart(hub: RunningHub, token: str) -> None:
    refused = _call(hub, "wrong token", "version")
    assert refused.returncode == 4
    assert "create_client" in refused.stderr
    absent = subprocess.run(
        [sys.executable, "manage.py", "call", "version", "--url", "ws://127.0.0.1:1/", "--token", token],
        cwd=PROJECT_DIR,
        env=hub_environment({}),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert absent.returncode == 3
    assert "make run" in absent.stderr


def test_the_token_is_read_from_the_file_of_the_hub(hub: RunningHub, token: str, tmp_path: Path) -> None:
    (tmp_path / "client.token").write_text(token + "\n")
    environment = hub_environment({"EXAI_DATA_DIR": str(tmp_path), "EXAI_PORT": str(hub.port)})
    done = subprocess.run(
        [sys.executable, "manage.py", "call", "version"],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def _on_a_terminal(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=PROJECT_DIR,
        env=hub_environment({"TERM": "xterm"}),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read_until(terminal: int, wanted: bytes | None) -> bytes:
    """What the terminal shows up to some words, or to the end."""
    shown = b""
    while wanted is None or wanted not in shown:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    return shown


def test_ctrl_c_cancels_the_call_at_the_vendor(hub: RunningHub, token: str, upstream: Upstream, model: str) -> None:
    upstream.behave(model, delay_s=30)
    with _on_a_terminal(_command(hub, token, "chat", "prompt=x", f"model={model}")) as (process, terminal):
        _read_until(terminal, f"Calling {model}".encode())
        upstream.wait_for_requests(model, 1)
        process.send_signal(signal.SIGINT)
        shown = _read_until(terminal, None)
        assert process.wait(_PATIENCE_S) == 130
    assert b"CANCELLED" in shown
    assert b"Traceback" not in shown
    upstream.wait_for_disconnect(model)


def test_a_terminal_is_not_obeying_what_a_model_writes(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    upstream.behave(model, text="before\x1b]0;owned\x07after", chunks=1)
    with _on_a_terminal(_command(hub, token, "chat", "prompt=x", f"model={model}")) as (process, terminal):
        shown = _read_until(terminal, None)
        assert process.wait(_PATIENCE_S) == 0
    assert b"\x1b]0;" not in shown
    assert "before\ufffd]0;owned\ufffdafter".encode() in shown
