"""The operator's own file of models, checked when the settings are read; exai.providers.catalogue reads it for use."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

_FORM = '{"provider": [{"id": "model", "context": 131072, …}]}'
_MOST_TOLD = 10
_WORDS = {"missing": "is missing", "extra_forbidden": "there is no such field"}


class CatalogueModel(BaseModel):
    """An entry; the same as `exai.providers.base.ModelInfo`, which lies above the settings."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1)
    context: int = Field(gt=0)
    output: int | None = Field(None, gt=0)
    vision: bool = False
    thinking: bool = False
    aliases: tuple[str, ...] = ()


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
