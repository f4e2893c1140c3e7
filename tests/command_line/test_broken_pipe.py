"""A command whose reader goes away, as `head` does."""

import os
import subprocess
import sys

from tests.hub import PROJECT_DIR
from tests.hub import hub_environment as process_environment


def test_a_command_ends_in_silence(hub_environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "manage.py", "conversations", "list", "--all-workspaces"],
            cwd=PROJECT_DIR,
            env=process_environment(hub_environment),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")
