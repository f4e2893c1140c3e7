"""What a severity filter asks of the expert."""

from collections.abc import Mapping
from typing import Any

from exai.tools.workflow.gathered import SEVERITIES


def asked_severities(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told, with the filter in words; without it where it lets everything through."""
    about = dict(told)
    least = about.pop("severity_filter", "all")
    if least != "all":
        kept = SEVERITIES[: SEVERITIES.index(least) + 1]
        about["Report issues of these severities only, as you rate them"] = ", ".join(kept)
    return about
