"""The process that reads a file: confined, heard out within bounds, and gone whatever happens."""

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import uvloop

from exai.extraction import child, runner
from exai.extraction.exchange import Reply, Request
from exai.extraction.limits import Limits
from exai.extraction.mime_types import DOCX, PDF
from exai.extraction.runner import extract
from tests.extraction.packages import document, put
from tests.extraction.pdfs import packed, write_objects, write_pdf
from tests.extraction.reading import read
from tests.extraction.test_hostile import ONE_PAGE

Replace = Callable[[str], None]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Puts another program in the place of the one that reads files."""
    return lambda text: monkeypatch.setattr(child, "_PROGRAM", text)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "a.pdf", ["what it says"])


@pytest.fixture(autouse=True)
def own_children() -> None:
    """Those that were there before are the databases, where this process started them."""
    _before.clear()
    _before.update(psutil.Process().children())


_before: set[psutil.Process] = set()


def children() -> list[psutil.Process]:
    own = [process for process in psutil.Process().children() if process not in _before]
    return [each for process in own for each in (process, *process.children(recursive=True))]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 the condition is the operating system's
            await asyncio.sleep(0.005)


async def test_the_process_inherits_nothing_and_has_little(
    pdf: Path, program: Replace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EXAI_SECRET", "a secret")
    told = tmp_path / "told"
    told.touch()
    program(
        "import sys, os, json, resource, msgspec\n"
        f"told = os.open({str(told)!r}, os.O_WRONLY)\n"
        f"sys.path.append({str(Path(child.__file__).parents[2])!r})\n"
        "from exai.extraction import __main__ as main, reading\n"
        "def read(file, request):\n"
        "    limits = {name: resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[0] for name in\n"
        "        ('AS', 'CPU', 'FSIZE', 'CORE', 'NOFILE', 'NPROC')}\n"
        "    try:\n"
        "        os.write(told, b'x')\n"
        "        written = True\n"
        "    except OSError:\n"
        "        written = False\n"
        "    found = {'environment': sorted(os.environ), 'limits': limits, 'written': written, 'nice': os.nice(0),\n"
        "        'folder': os.getcwd(), 'descriptors': len(os.listdir('/dev/fd')), 'loaded': sorted(sys.modules)}\n"
        "    return main_reply(json.dumps(found))\n"
        "def main_reply(text):\n"
        "    return reading.Reply(extracted=reading.Extracted(text=text))\n"
        "main.read = read\n"
        "main.main()\n"
    )
    found = json.loads((await read(pdf, limits=Limits(cpu_seconds=7))).text)
    assert [name for name in found["environment"] if name != "LC_CTYPE"] == []
    assert found["limits"] == {"AS": 512 << 20, "CPU": 7, "FSIZE": 0, "CORE": 0, "NOFILE": 64, "NPROC": 0}
    assert (found["written"], found["folder"]) == (False, "/")
    assert found["nice"] >= 10
    assert found["descriptors"] <= 7  # three, the file, the folder that is listed, `told`, and one to spare
    for library in ("django", "pypdf", "docx", "openpyxl", "pptx", "PIL", "asyncio", "charset_normalizer"):
        assert library not in found["loaded"]


async def test_a_process_that_never_answers_is_killed(pdf: Path, program: Replace) -> None:
    program("import time; time.sleep(600)")
    found = await read(pdf, limits=Limits(wall_seconds=0.3))
    assert found.problem == "It takes more than 0.3 s to read."
    assert children() == []


async def test_a_process_that_answers_without_end_is_killed(pdf: Path, program: Replace) -> None:
    program("import sys\nwhile True: sys.stdout.write('x' * 65536)")
    before = psutil.Process().memory_info().rss
    found = await read(pdf, limits=Limits(characters=100))
    assert found.problem == "It is damaged: reading it failed."
    assert children() == []
    assert psutil.Process().memory_info().rss - before < 50 << 20


async def test_a_process_that_leaves_another_behind_takes_it_along(pdf: Path, program: Replace) -> None:
    program("import subprocess, sys, time; subprocess.Popen(['sleep', '600']); time.sleep(600)")
    reading = asyncio.create_task(read(pdf, limits=Limits(wall_seconds=30)))
    await until(lambda: len(children()) == 2)
    processes = children()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert psutil.wait_procs(processes, timeout=10)[1] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "It broke the program"),
        ("import os; os._exit(3)", "It broke the program"),
        ("import sys; sys.stdin.close(); print('no JSON'); sys.stderr.write('content of the file')", "It broke the"),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass",
            "It takes more than 1 s",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "It takes more than 1 s"),
    ],
)
async def test_a_process_that_breaks_is_told_in_words_and_logged_without_content(
    pdf: Path, program: Replace, caplog: pytest.LogCaptureFixture, text: str, problem: str
) -> None:
    program(text)
    with caplog.at_level(logging.INFO):
        found = await read(pdf, limits=Limits(cpu_seconds=1))
    assert found.problem.startswith(problem)
    assert "application/pdf" in caplog.text
    assert "content" not in caplog.text
    assert children() == []


async def test_cancelling_kills_the_process_and_leaves_no_descriptor(tmp_path: Path) -> None:
    slow = write_objects(tmp_path / "a.pdf", {**ONE_PAGE, 5: packed(b"BT (x) Tj ET\n" * 1_000, 100)})
    await read(slow, limits=Limits(cpu_seconds=1))
    before = psutil.Process().num_fds()
    reading = [asyncio.create_task(read(slow)) for _ in range(5)]
    await until(lambda: len(children()) == runner.AT_ONCE)
    for task in reading:
        task.cancel()
    assert all(
        isinstance(ended, asyncio.CancelledError) for ended in await asyncio.gather(*reading, return_exceptions=True)
    )
    assert children() == []
    await until(lambda: psutil.Process().num_fds() <= before)


async def test_only_so_many_are_read_at_once_and_all_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = most = 0
    really = child.read_in_child

    async def counted(request: Request) -> Reply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await really(request)
        finally:
            running -= 1

    monkeypatch.setattr(runner, "read_in_child", counted)
    paths = [write_pdf(tmp_path / f"{number}.pdf", [f"this is {number}"]) for number in range(5)]
    found = await asyncio.gather(*map(read, paths))
    assert [f"this is {number}" in one.text for number, one in enumerate(found)] == [True] * 5
    assert most == runner.AT_ONCE


async def test_an_open_file_is_read_from_its_beginning_and_stays_open(pdf: Path) -> None:
    with pdf.open("rb") as file:
        file.read(20)
        found = await extract(file, mime_type=PDF, name="a.pdf")
        assert "what it says" in found.text
        assert not file.closed
    (pdf.parent / "a.txt").write_text("what it says")
    with (pdf.parent / "a.txt").open("rb") as file:
        file.read(4)
        assert (await extract(file, mime_type="text/plain", name="a.txt")).text == "what it says"


async def test_what_is_no_file_is_told_in_words(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        for mime_type in ("text/plain", PDF):
            assert (await extract(path, mime_type=mime_type, name="a")).problem == "It could not be opened."


async def test_a_type_that_is_not_the_files_own_is_told_in_words(tmp_path: Path) -> None:
    text = put(tmp_path / "a", b"no document at all")
    for mime_type in (PDF, DOCX, "application/x-ipynb+json", "image/png"):
        found = await extract(text, mime_type=mime_type, name="a")
        assert found.text == found.image == ""
        assert "damaged" in found.problem
    pdf = write_pdf(tmp_path / "a.pdf", ["what it says"])
    found = await extract(pdf, mime_type="text/plain", name="a.pdf")
    assert (found.text, found.problem) == ("", "It was taken for text, but is of type application/pdf.")


@pytest.mark.parametrize("loops", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_it_works_in_one_loop_after_another(tmp_path: Path, loops: Callable[[], asyncio.AbstractEventLoop]) -> None:
    path = put(tmp_path / "a.docx", document())
    for _ in range(2):
        with asyncio.Runner(loop_factory=loops) as loop:
            assert "# Findings" in loop.run(read(path)).text
    assert len(runner._places) <= 2  # those of closed loops go
