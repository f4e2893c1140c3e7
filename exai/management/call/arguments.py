"""From `key=value` words to a tool's arguments, by the tool's own schema."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WORDS = {"true": True, "false": False}
_JSON_TYPES = {"array": list, "object": dict}


class ArgumentError(Exception):
    """Words that give no arguments; the message says which and why."""


def read_arguments(words: Sequence[str], text: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments that `key=value` words and a JSON text give; the words win. Raises `ArgumentError`.

    A list is JSON, or one of its items; words of one key add up. `key=@path` takes the value from a file, `key=@-` from
    standard input, `key=@@…` is a value that begins with @.
    """
    arguments = _read_json(text)
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ArgumentError(f"{word!r} is not of the form key=value.")
        typed = _typed(key, _from_source(key, value), schema.get("properties", {}).get(key, {}))
        given[key] = given.get(key, []) + typed if isinstance(typed, list) else typed
    return {**arguments, **given}


def _read_json(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise ArgumentError(f"--json is not JSON: {error}.") from None
    if not isinstance(arguments, dict):
        raise ArgumentError('--json takes an object, such as \'{"prompt": "Hello"}\'.')
    return arguments


def _from_source(key: str, value: str) -> str:
    if not value.startswith("@"):
        return value
    source = value[1:]
    if source.startswith("@"):
        return source
    try:
        return sys.stdin.read() if source == "-" else Path(source).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ArgumentError(f"{key}: {source} cannot be read: {reason}.") from None


def _typed(key: str, value: str, field: dict[str, Any]) -> Any:
    kind = field.get("type", "string")
    try:
        if kind == "boolean":
            return _WORDS[value.lower()]
        if kind == "integer":
            return int(value)
        if kind == "number":
            return float(value)
        begin = "" if kind == "array" and _names_a_file(value) else value.lstrip()[:1]
        if kind == "array" and begin != "[":
            is_object = begin == "{"
            return [json.loads(value) if is_object else _typed(key, value, field.get("items", {}))]
        if kind in _JSON_TYPES:
            parsed = json.loads(value)
            if not isinstance(parsed, _JSON_TYPES[kind]):
                raise ValueError
            return parsed
    except (KeyError, ValueError):
        wanted = {"boolean": "true or false", "array": "a JSON list", "object": "a JSON object"}.get(kind, f"a {kind}")
        raise ArgumentError(f"{key}={value[:80]}: should be {wanted}.") from None
    return value


def _names_a_file(value: str) -> bool:
    """Though it may begin like JSON: `[id].tsx`."""
    try:
        return Path(value).is_file()
    except OSError:  # longer than any name
        return False
