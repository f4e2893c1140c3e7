"""The supervisor stays small."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["django", "celery", "channels", "uvicorn", "redis", "psycopg"])
def test_the_supervisor_does_without(package: str) -> None:
    code = f"import exai.supervisor.__main__, sys; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_what_every_process_imports_to_watch_its_supervisor_is_of_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import exai.supervisor.parent; "
        "print(*(name for name in set(sys.modules) - before if name.partition('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30)
    assert sorted(done.stdout.split()) == ["exai", "exai.supervisor", "exai.supervisor.parent"]
