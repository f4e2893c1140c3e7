"""Which models serve `auto`: for each kind of question a list of models, best first. Data; see routes.json beside this
file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

RouteName = Literal["fast", "deep", "long", "vision"]
ROUTE_NAMES: tuple[RouteName, ...] = get_args(RouteName)

_BUILT_IN = Path(__file__).with_name("routes.json")


class Routes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of models as a caller may give them: ids, aliases, `provider/model`. Those that nobody serves are passed
    over; where nobody serves any of a list, every configured model is its list.

    `fast`: chat and middle steps. `deep`: what is worth thinking about. `long`: more context than most models take.
    `vision`: questions with images.
    """

    fast: tuple[str, ...] = ()
    deep: tuple[str, ...] = ()
    long: tuple[str, ...] = ()
    vision: tuple[str, ...] = ()

    def overridden(self, rows: Mapping[str, Sequence[str]]) -> "Routes":
        """With the lists of an operator in place of these; a name that is no route's is passed over."""
        return msgspec.structs.replace(self, **{name: tuple(rows[name]) for name in ROUTE_NAMES if name in rows})

    def models(self, name: RouteName) -> tuple[str, ...]:
        models: tuple[str, ...] = getattr(self, name)
        return models


def default_routes() -> Routes:
    return msgspec.json.decode(_BUILT_IN.read_bytes(), type=Routes)
