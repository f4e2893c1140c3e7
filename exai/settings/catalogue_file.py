"""The operator's own file of models, checked when the settings are read; exai.providers.catalogue reads it for use."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_FORM = '{"provider": [{"id": "model", "context": 131072, …}]}'
_MOST_TOLD = 10
_WORDS = {"missing": "is missing", "extra_forbidden": "there is no such field"}


_Dollars = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class CataloguePrice(BaseModel):
    """As `exai.providers.base.Price`: US dollars per million tokens."""

    model_config = ConfigDict(extra="forbid")

    input: _Dollars
    output: _Dollars
    cached: _Dollars | None = None
    version: str = Field("", max_length=64)


class ModelAbilities(BaseModel):
    """What an operator may say of a model, in a file or in a setting."""

    model_config = ConfigDict(extra="forbid")

    vision: bool = False
    thinking: bool = False
    tools: bool = False
    web_search: bool = False
    aliases: tuple[str, ...] = ()
    price: CataloguePrice | None = None
    timeout_factor: float = Field(1.0, gt=0, le=100)


class CatalogueModel(ModelAbilities):
    """An entry; the same as `exai.providers.base.ModelInfo`, which lies above the settings."""

    id: str = Field(min_length=1)
    context: int = Field(gt=0)
    output: int | None = Field(None, gt=0)


_catalogue = TypeAdapter(dict[str, tuple[CatalogueModel, ...]])


def check_catalogue(path: Path) -> Path:
    """The path, when a catalogue lies there. Raises `ValueError` with all that is wrong, by its place."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    try:
        _catalogue.validate_json(text, strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        told = [_told(detail["loc"], detail["type"], detail["msg"]) for detail in details[:_MOST_TOLD]]
        rest = [f"and {len(details) - _MOST_TOLD} more"] if len(details) > _MOST_TOLD else []
        raise ValueError("; ".join([*told, *rest])) from None
    return path


def _told(place: tuple[int | str, ...], kind: str, message: str) -> str:
    if not place:
        reason = f" ({message.removeprefix('Invalid JSON: ')})" if kind == "json_invalid" else ""
        return f"should be JSON of the form {_FORM}{reason}"
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    if kind == "tuple_type":
        return f"{where}: should be a list of models"
    return f"{where}: {_WORDS.get(kind) or message.replace('Input should', 'should', 1)}"
