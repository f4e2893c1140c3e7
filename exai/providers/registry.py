"""Which provider serves which model. Built once, after all providers are there; never changed afterwards."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo, Provider
from exai.providers.breaker import Breakers, Standing
from exai.providers.local_breakers import LocalBreakers
from exai.providers.routes import ROUTE_NAMES, RouteName, Routes

AUTO = "auto"
LONG_CONTEXT_TOKENS = 128_000
_MOST_LISTED = 16  # of a route that nobody made: each choice goes through it
_FITNESS: dict[RouteName, Callable[[ModelInfo], bool]] = {
    "fast": lambda info: True,
    "deep": lambda info: True,
    "long": lambda info: info.context > LONG_CONTEXT_TOKENS,
    "vision": lambda info: info.vision,
}


class ServedModel(msgspec.Struct, frozen=True):
    provider: Provider
    info: ModelInfo

    @property
    def qualified_name(self) -> str:
        return f"{self.provider.name}/{self.info.id}"


class Registry:
    """Models by id and alias, in lower case; where two providers offer one name the earlier has it, and
    `provider/model` names either. An id that is spelt as another provider's `provider/model` stands back for it, and
    a model that an endpoint merely offers for those that somebody listed.

    `problems`: why an endpoint is off, in words. `disabled`: providers that an operator switched off."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        routes: Routes | None = None,
        breakers: Breakers | None = None,
        problems: Sequence[str] = (),
        disabled: Sequence[str] = (),
    ) -> None:
        self.providers = tuple(providers)
        self.routes = routes or Routes()
        self.problems = tuple(problems)
        self.disabled = tuple(disabled)
        self._breakers = breakers or LocalBreakers()
        self._by_name: dict[str, ServedModel] = {}
        self._by_qualified_name: dict[str, ServedModel] = {}
        self._listed_first = sorted(self, key=lambda served: not served.info.listed)
        for served in self._listed_first:
            for name in (served.info.id, *served.info.aliases):
                self._by_name.setdefault(name.lower(), served)
                self._by_qualified_name.setdefault(f"{served.provider.name}/{name}".lower(), served)
        self._routes = {name: self._listed(name) for name in ROUTE_NAMES}

    def __iter__(self) -> Iterator[ServedModel]:
        """Every model once a provider, in order of preference."""
        return (ServedModel(provider, info) for provider in self.providers for info in provider.models)

    def find(self, name: str) -> ServedModel | None:
        """The model of that id or alias, or of that `provider/model`."""
        wanted = name.strip().lower()
        return self._by_qualified_name.get(wanted) or self._by_name.get(wanted)

    def named(self, name: str) -> ServedModel:
        """The model of that id or alias. Raises `InvalidValue`, with what there is, when none has it."""
        served = self.find(name)
        if served is None:
            there_is = ", ".join(served.info.id for served in self)
            raise InvalidValue(
                f"There is no model {name[:200]!r}. There are: {there_is}.", model=f"unknown; one of {there_is}"
            )
        return served

    def route(self, name: RouteName) -> tuple[ServedModel, ...]:
        """The models of a route, best first: those of its list that are served. Where none is, the first real models
        that are fit for it; the test model when there is no other."""
        return self._routes[name]

    def breaker(self, provider: str) -> Standing:
        return self._breakers.standing(provider)

    def automatic(self) -> ServedModel:
        """What `auto` gives a short question of a new conversation right now."""
        listed = self.route("fast")
        return next((served for served in listed if self.is_healthy(served)), listed[0])

    def is_healthy(self, served: ServedModel) -> bool:
        """A half-open breaker's provider is: somebody has to try it."""
        return self._breakers.standing(served.provider.name).state != "open"

    def _listed(self, name: RouteName) -> tuple[ServedModel, ...]:
        listed: list[ServedModel] = []
        for model in self.routes.models(name):
            served = self.find(model)
            if served is not None and served not in listed and not served.provider.is_test:
                listed.append(served)
        if not listed:
            real = [served for served in self._listed_first if not served.provider.is_test]
            fit = [served for served in real if _FITNESS[name](served.info)]
            listed = (fit or real or self._listed_first)[:_MOST_LISTED]
        return tuple(listed)

    async def close(self) -> None:
        for provider in self.providers:
            await provider.close()
