"""Which provider serves which model. Built once, after all providers are there; never changed afterwards."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo, Provider

AUTO = "auto"


class ServedModel(msgspec.Struct, frozen=True):
    provider: Provider
    info: ModelInfo


class Registry:
    """Models by id and alias, in lower case; where two providers offer one name the earlier has it, and
    `provider/model` names either. An id that is spelt as another provider's `provider/model` stands back for it, and
    a model that an endpoint merely offers for those that somebody listed.

    `routes`: the operator's, name -> models by preference. `problems`: why an endpoint is off, in words. `disabled`:
    providers that an operator switched off."""

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        routes: Mapping[str, tuple[str, ...]] | None = None,
        problems: Sequence[str] = (),
        disabled: Sequence[str] = (),
    ) -> None:
        self.providers = tuple(providers)
        self.routes: Mapping[str, tuple[str, ...]] = routes or {}
        self.problems = tuple(problems)
        self.disabled = tuple(disabled)
        self._by_name: dict[str, ServedModel] = {}
        self._by_qualified_name: dict[str, ServedModel] = {}
        for served in sorted(self, key=lambda served: not served.info.listed):
            for name in (served.info.id, *served.info.aliases):
                self._by_name.setdefault(name.lower(), served)
                self._by_qualified_name.setdefault(f"{served.provider.name}/{name}".lower(), served)

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

    def automatic(self) -> ServedModel:
        """The first listed model of the first real provider; the test model when there is no other."""
        return min(self, key=lambda served: (served.provider.is_test, not served.info.listed))

    async def close(self) -> None:
        for provider in self.providers:
            await provider.close()
