"""What a setting's value should be, in words: for error messages and the documentation."""

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import SecretStr
from pydantic.fields import FieldInfo


def expectation(field: FieldInfo) -> str:
    """For example «a whole number from 1 to 65535»."""
    kind, metadata = _bare_type(field)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if kind is int:
        return "a whole number" + _bounds(metadata)
    if kind is float:
        return "a number" + _bounds(metadata)
    if kind is Path:
        return "a path"
    if get_origin(kind) is tuple:
        return "a list separated by commas" if get_args(kind)[0] is str else "a JSON list"
    shortest = next((constraint.min_length for constraint in metadata if isinstance(constraint, MinLen)), None)
    return f"at least {shortest} characters" if shortest else "text"


def is_secret(field: FieldInfo) -> bool:
    """Whether the value may never be shown. Lists of endpoints count: they hold keys."""
    kind, _ = _bare_type(field)
    return kind is SecretStr or (get_origin(kind) is tuple and get_args(kind)[0] is not str)


def _bare_type(field: FieldInfo) -> tuple[Any, list[Any]]:
    """The type without `| None` and `Annotated`, and the constraints found on the way."""
    kind: Any = field.annotation
    metadata = list(field.metadata)
    if get_origin(kind) in (Union, types.UnionType):
        kind = next(member for member in get_args(kind) if member is not types.NoneType)
    while hasattr(kind, "__metadata__"):
        metadata += kind.__metadata__
        kind = get_args(kind)[0]
    return kind, metadata


def _bounds(metadata: list[Any]) -> str:
    text = ""
    for constraint in metadata:
        if isinstance(constraint, Ge):
            text += f" from {constraint.ge}"
        elif isinstance(constraint, Gt):
            text += f" above {constraint.gt}"
        elif isinstance(constraint, Le):
            text += f" to {constraint.le}"
    return text
