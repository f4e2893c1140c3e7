"""The models of each vendor, as data: the file beside this one, and an operator's own on top.

Prices are the vendors' published ones for pay-as-you-go, in US dollars, as they were quoted in November 2026:
Kimi's from https://platform.moonshot.ai/docs/pricing/chat, GLM's from https://docs.z.ai/guides/overview/pricing.
`kimi-latest` has none: it is billed by the length of each prompt. `glm-4.5-flash` is free.
"""

from pathlib import Path

import msgspec

from exai.providers.base import ModelInfo

_BUILT_IN = Path(__file__).with_name("catalogue.json")


class CatalogueError(Exception):
    """An operator's catalogue that cannot be used; the message names the file and the place."""


def load_catalogue(extension: Path | None = None) -> dict[str, tuple[ModelInfo, ...]]:
    """Models by provider name, best first. An entry of `extension` replaces the built-in one of its id; others come
    last."""
    catalogue = _read(_BUILT_IN)
    if extension is not None:
        for provider, models in _read(extension).items():
            # A replaced entry keeps its place: the order is that of preference.
            merged = {model.id: model for model in (*catalogue.get(provider, ()), *models)}
            catalogue[provider] = tuple(merged.values())
    return catalogue


def _read(path: Path) -> dict[str, tuple[ModelInfo, ...]]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[ModelInfo, ...]])
    except OSError as error:
        raise CatalogueError(f"The catalogue {path} cannot be read: {error.strerror}.") from None
    except msgspec.DecodeError as error:
        raise CatalogueError(f"The catalogue {path} is wrong: {error}.") from None
