"""The benchmark measures everything it promises. What it measures is never asserted: that is the machine's affair."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.figures import FIGURES
from tests.benchmarks.rig import RAISED_LIMITS
from tests.hub import PROJECT_DIR


@pytest.mark.timeout(60)
def test_a_tiny_run_gives_every_figure_and_its_baseline(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.benchmarks", "--tiny", "--output", str(output)]
    done = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(output.read_text())
    assert report["limits_raised"] == RAISED_LIMITS
    assert list(report["catalogue_bytes"]) == ["lean", "standard", "full"]
    assert "Tools as listed: lean " in done.stdout
    assert [figure["name"] for figure in report["figures"]] == [figure.name for figure in FIGURES]
    for figure in report["figures"]:
        assert len(figure["hub"]["rounds"]) == 1, figure["name"]
        assert figure["hub"]["min"] <= figure["hub"]["median"] <= figure["hub"]["max"]
        assert (figure["baseline"] is None) == (figure["baseline_is"] is None), figure["name"]
        assert (figure["met"] is None) == (figure["aim"] is None), figure["name"]
        assert figure["title"] in done.stdout
