"""Which provider serves which model. Built once, after all providers are there; never changed afterwards."""

from collections.abc import Iterator, Sequence

import msgspec

from exai.protocol.errors import InvalidValue
from exai.providers.base import ModelInfo, Provider

AUTO = "auto"


class ServedModel(msgspec.Struct, frozen=True):
    provider: Provider
    info: ModelInfo


class Registry:
    """Models by id and alias, in lower case; where two providers offer one name the earlier has it, and
    `provider/model` names either. An id that is spelt as another provider's `provider/model` stands back for it."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self.providers = tuple(providers)
        self._by_name: dict[str, ServedModel] = {}
        self._by_qualified_name: dict[str, ServedModel] = {}
        for provider in providers:
            for info in provider.models:
                served = ServedModel(provider, info)
                for name in (info.id, *info.aliases):
                    self._by_name.setdefault(name.lower(), served)
                    self._by_qualified_name.setdefault(f"{provider.name}/{name}".lower(), served)

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
        """The first model of the first real provider; the test model when there is no other."""
        return min(self, key=lambda served: served.provider.is_test)

    async def close(self) -> None:
        for provider in self.providers:
            await provider.close()
