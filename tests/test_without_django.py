"""Protocol, providers, tools and extraction know no framework: imported alone, each brings none along."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_DIR = Path(__file__).resolve().parents[1]
FRAMEWORKS = ("django", "channels", "celery", "daphne", "psycopg", "redis")

SCRIPT = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
names = [module.name for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
print(len(names), *sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[2:])))
"""


@pytest.mark.parametrize("package", ["exai.protocol", "exai.providers", "exai.tools", "exai.extraction"])
def test_importing_every_module_of_the_package_brings_no_framework_along(package: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, package, *FRAMEWORKS],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    modules, *frameworks = found.stdout.split()
    assert int(modules) >= 4
    assert frameworks == []
