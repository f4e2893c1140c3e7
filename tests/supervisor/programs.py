"""Small real programs for children to run, and bounded waiting."""

import select
import sys
import time
from collections.abc import Callable

from exai.supervisor.children import Program

PATIENCE_S = 10.0


def python_program(code: str, *, name: str = "web", descriptors: tuple[int, ...] = ()) -> Program:
    return Program(name, name, (sys.executable, "-S", "-c", code), {"PATH": "/usr/bin:/bin"}, descriptors)


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether it came true within the patience of these tests."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], 0.01)
    return True
