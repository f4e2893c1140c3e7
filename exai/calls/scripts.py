"""The Lua scripts of this package: each the text of its file behind the files that it builds on."""

from pathlib import Path

from exai.calls.redis_link import Script

_FOLDER = Path(__file__).with_name("lua")


def _script(*names: str) -> Script:
    return Script("\n".join((_FOLDER / f"{name}.lua").read_text(encoding="utf-8") for name in names))


ADMIT = _script("slots", "buckets", "state", "admit")
FINISH = _script("slots", "state", "finish")
RENEW = _script("slots", "renew")
KEEP = _script("slots", "state", "keep")
FOLLOW = _script("slots", "state", "follow")
DELIVER = _script("slots", "state", "deliver")
EVICT = _script("slots", "state", "evict")
ENTER = _script("slots", "enter")
FRAME = _script("slots", "buckets", "frame")
TAKE_SLOT = _script("slots", "take_slot")
GIVE_SLOT_BACK = _script("slots", "give_slot_back")
BREAKER_REPORT = _script("slots", "breaker", "breaker_report")
BREAKER_TRY = _script("slots", "breaker", "breaker_try")
BREAKER_LIST = _script("slots", "breaker", "breaker_list")
BREAKER_RESET = _script("slots", "breaker", "breaker_reset")
RESERVE_BUDGET = _script("slots", "budget", "budget_reserve")
SETTLE_BUDGET = _script("slots", "budget", "budget_settle")
FILL_BUDGET = _script("slots", "budget", "budget_fill")
