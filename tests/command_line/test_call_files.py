"""manage.py call with files: those of this machine are uploaded, what is wrong is told before anything is sent."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.hub import PROJECT_DIR, RunningHub, hub_environment
from tests.upstream import Upstream

_PATIENCE_S = 30


def call(hub: RunningHub, token: str, *words: str, cwd: Path = PROJECT_DIR) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROJECT_DIR / "manage.py"), "call", *words, "--url", hub.ws_url, "--token", token],
        cwd=cwd,
        env=hub_environment({}),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )


def answered(hub: RunningHub, token: str, *words: str, cwd: Path = PROJECT_DIR) -> list[dict[str, Any]]:
    """The files of the answer."""
    done = call(hub, token, *words, "--raw", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, ""), done
    files: list[dict[str, Any]] = json.loads(json.loads(done.stdout)["outputs"][0]["text"])["metadata"]["files"]
    return files


def asked(upstream: Upstream, model: str) -> str:
    """The last question as the model got it."""
    return str(upstream.requests(model)[-1].body["messages"][-1]["content"])


def test_local_files_are_uploaded_and_their_contents_reach_the_model(
    hub: RunningHub, token: str, upstream: Upstream, model: str, tmp_path: Path, database: psycopg.Connection
) -> None:
    (tmp_path / "a.py").write_text(f"a of {model}")
    (tmp_path / "b c.md").write_text(f"b of {model}")
    words = ["chat", "prompt=Look", f"model={model}", "files=a.py", f"files={tmp_path / 'b c.md'}", "files=./a.py"]
    files = answered(hub, token, *words, cwd=tmp_path)
    assert [file["name"] for file in files] == ["a.py", "b c.md"]
    assert f"1│ a of {model}" in asked(upstream, model)
    assert f"1│ b of {model}" in asked(upstream, model)
    row = database.execute(
        "SELECT count(*), sum(access_count) FROM files WHERE id = ANY(%s)", ([file["id"] for file in files],)
    )
    assert row.fetchone() == (2, 2)


def test_a_list_may_be_json_and_holds_what_else_names_a_file(
    hub: RunningHub, token: str, upstream: Upstream, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"a of {model}")
    [first] = answered(hub, token, "chat", "prompt=one", f"model={model}", f"files={path}")
    inline = {"name": "inline.txt", "content": f"inline of {model}"}
    url = f"data:text/plain;base64,{base64.b64encode(f'url of {model}'.encode()).decode()}"
    listed = json.dumps([first["id"], inline, str(path)])
    words = ["chat", "prompt=two", f"model={model}", f"files={listed}", f"files={url}"]
    names = [file["name"] for file in answered(hub, token, *words)]
    assert names == ["a.py", "inline.txt", "inline"]
    given = json.dumps({"prompt": "three", "model": model, "files": [str(path), first["id"]]})
    assert [file["id"] for file in answered(hub, token, "chat", "--json", given)] == [first["id"]]
    one = json.dumps(inline)
    assert [file["name"] for file in answered(hub, token, "chat", "prompt=4", f"model={model}", f"files={one}")] == [
        "inline.txt"
    ]


def test_a_file_may_be_named_like_a_list_or_like_another_form_of_an_id(
    hub: RunningHub, token: str, model: str, tmp_path: Path
) -> None:
    names = ["[id].tsx", "[1]", "{slug}.py", "d41d8cd98f00b204e9800998ecf8427e"]
    for name in names:
        (tmp_path / name).write_text(f"{name} of {model}")
    words = [f"files={name}" for name in names]
    files = answered(hub, token, "chat", "prompt=Look", f"model={model}", *words, cwd=tmp_path)
    assert [file["name"] for file in files] == names


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere.py", "No such file"),
        (".", "is a directory"),
        ("/dev/null", "no regular file"),
        ("x" * 5000, "cannot be read"),
        ("~nobody-of-that-name/a", "cannot be read"),
    ],
)
def test_what_cannot_be_uploaded_is_told_before_anything_is_sent(
    hub: RunningHub, token: str, upstream: Upstream, model: str, tmp_path: Path, database: psycopg.Connection,
    named: str, said: str,
) -> None:  # fmt: skip
    good = tmp_path / "good.txt"
    good.write_text(f"never sent {named} {model}")
    for field in ("files", "images"):
        done = call(hub, token, "chat", "prompt=x", f"model={model}", f"files={good}", f"{field}={named}")
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr
        assert done.stderr.startswith(f"{field}: ")
        assert "Traceback" not in done.stderr
    assert upstream.requests(model) == []
    row = database.execute(
        "SELECT count(*) FROM files f JOIN clients c USING (workspace) WHERE f.original_name = 'good.txt'"
        " AND f.size_bytes = %s",
        (len(good.read_bytes()),),
    )
    assert row.fetchone() == (0,)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(hub: RunningHub, token: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("x")
    path.chmod(0)
    done = call(hub, token, "chat", "prompt=x", f"files={path}")
    assert (done.returncode, "Permission denied" in done.stderr) == (2, True)


def test_a_name_that_only_a_hub_s_machine_has_is_no_argument_of_other_fields(
    hub: RunningHub, token: str, upstream: Upstream, model: str
) -> None:
    done = call(hub, token, "chat", "prompt=/no/such/file", f"model={model}", "files=[]", "--raw")
    assert done.returncode == 0
    assert asked(upstream, model) == "/no/such/file"


def test_what_the_hub_does_not_take_is_told_with_its_reason(
    hub: RunningHub, make_client: Any, model: str, tmp_path: Path
) -> None:
    _, token = make_client(scopes=("tools",))
    (tmp_path / "a.py").write_text("x")
    done = call(hub, token, "chat", "prompt=x", f"files={tmp_path}/a.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert "a.py was not taken" in done.stderr
    assert "scope files" in done.stderr
