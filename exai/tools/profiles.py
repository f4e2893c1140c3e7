"""Which tools a client is shown and may call: a profile, with names that are allowed beside it or denied.

Each tool that is listed costs every agent a part of its context, so that few should see all of them.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, get_args

from exai.tools.table import TOOLS_BY_NAME

ProfileName = Literal["lean", "standard", "full"]
PROFILE_NAMES: tuple[ProfileName, ...] = get_args(ProfileName)

LEAN = frozenset(
    {
        *("chat", "thinkdeep", "debug", "codereview", "planner", "consensus", "challenge", "smart_file_query"),
        *("listmodels", "version"),
    }
)
# What a vendor offers, as it is: not in the standard profile.
RAW = frozenset(
    {
        *("kimi_chat_with_tools", "kimi_intent_analysis", "kimi_capture_headers"),
        *("glm_web_search", "glm_payload_preview"),
    }
)


def unknown_tools(names: Iterable[str]) -> list[str]:
    """Those of the names that are no tool's."""
    return [name for name in names if name not in TOOLS_BY_NAME]


@lru_cache(maxsize=256)
def tools_of(profile: str, allowed: Sequence[str] = (), denied: Sequence[str] = ()) -> tuple[str, ...]:
    """The names of the tools of a client, in the order of the table. What is denied is not there, whatever allows it.

    Both lists as tuples. Names of tools that there are not are passed over."""
    names = (_PROFILES.get(profile, frozenset()) | set(allowed)) - set(denied)
    return tuple(name for name in TOOLS_BY_NAME if name in names)


def _checked(names: frozenset[str]) -> frozenset[str]:
    """A tool that cannot be there is an error at the start, and not absent in silence."""
    if missing := sorted(unknown_tools(names)):
        raise RuntimeError(f"The tool profiles name tools that there are not: {', '.join(missing)}")
    return names


_PROFILES: dict[str, frozenset[str]] = {
    "lean": _checked(LEAN),
    "standard": frozenset(TOOLS_BY_NAME) - _checked(RAW),
    "full": frozenset(TOOLS_BY_NAME),
}
