"""Which tools a profile has, and what their descriptions cost an agent's context."""

import msgspec
import pytest

from exai.tools import profiles
from exai.tools.catalogue import tool_catalogue
from exai.tools.profiles import LEAN, PROFILE_NAMES, RAW, tools_of
from exai.tools.table import TOOLS_BY_NAME


def test_lean_is_in_standard_and_standard_in_full_which_has_all() -> None:
    lean, standard, full = (set(tools_of(name)) for name in ("lean", "standard", "full"))
    assert lean < standard <= full == set(TOOLS_BY_NAME)
    assert lean == LEAN & set(TOOLS_BY_NAME)
    assert full - standard == RAW & set(TOOLS_BY_NAME)


def test_the_lists_are_on_top_of_the_profile_and_what_is_denied_stays_denied() -> None:
    assert "status" not in tools_of("lean")
    assert tools_of("lean", ("status",)) == tuple(
        name for name in TOOLS_BY_NAME if name in {*tools_of("lean"), "status"}
    )
    assert "status" not in tools_of("standard", ("status",), ("status",))
    assert set(tools_of("standard")) - set(tools_of("standard", (), ("chat", "no_such_tool"))) == {"chat"}


def test_a_profile_that_names_a_tool_that_there_is_not_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no_such_tool"):
        profiles._checked(frozenset({"chat", "no_such_tool"}))


@pytest.mark.parametrize(("profile", "most_bytes"), [("lean", 12_000), ("standard", 40_000)])
def test_a_catalogue_takes_little_of_an_agents_context(profile: str, most_bytes: int) -> None:
    assert len(bytes(tool_catalogue(tools_of(profile)))) <= most_bytes


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_catalogue_describes_the_tools_of_the_profile(profile: str) -> None:
    described = msgspec.json.decode(tool_catalogue(tools_of(profile)))
    assert [tool["name"] for tool in described] == list(tools_of(profile))
    assert tool_catalogue(tools_of(profile)) is tool_catalogue(tools_of(profile))
