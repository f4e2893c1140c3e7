"""A child learns that its supervisor died, whatever killed it."""

import os
import subprocess
import sys
import threading

from exai.supervisor.parent import when_parent_dies
from tests.supervisor.programs import PATIENCE_S

SUPERVISOR_AND_CHILD = """
import os, subprocess, sys
read_end, write_end = os.pipe()
child = '''
import os, sys, threading
from exai.supervisor.parent import when_parent_dies
ended = threading.Event()
when_parent_dies(int(sys.argv[1]), ended.set)
print("watching", flush=True)
print("noticed" if ended.wait(10) else "missed", flush=True)
'''
subprocess.Popen([sys.executable, "-c", child, str(read_end)], pass_fds=(read_end,))
sys.stdin.read()
"""


def test_the_callback_waits_for_the_end_of_the_pipe() -> None:
    read_end, write_end = os.pipe()
    called = threading.Event()
    when_parent_dies(read_end, called.set)
    assert not called.wait(0.05)
    os.close(write_end)
    assert called.wait(PATIENCE_S)
    os.close(read_end)


def test_a_child_whose_supervisor_is_killed_notices() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR_AND_CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "watching\n"
        supervisor.kill()
        assert supervisor.stdout.readline() == "noticed\n"
