"""The JSON Schema of a tool's input as agents read it: flat, optional fields without null.

Every agent pays for each word of it, so what says nothing is left out: titles, the words of types that fields share,
that more properties are allowed.
"""

from typing import Any

from exai.tools.base import ToolInput

_SAYS_NOTHING = (("default", None), ("additionalProperties", True))


def input_schema(model: type[ToolInput]) -> dict[str, Any]:
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    schema.pop("description", None)
    return {"type": "object", **_plain(schema, definitions), "required": schema.get("required", [])}


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        shared = definitions[reference.removeprefix("#/$defs/")]
        return _plain({key: value for key, value in shared.items() if key != "description"}, definitions)
    plain: dict[str, Any] = {}
    for key, value in node.items():
        if (key, value) in _SAYS_NOTHING or key == "title":
            continue
        if key == "properties":
            plain[key] = {name: _plain(field, definitions) for name, field in value.items()}
        elif key == "const":
            plain["enum"] = [value]  # as every reader of schemas knows it
        else:
            plain[key] = _plain(value, definitions)
    choices = plain.get("anyOf")
    if choices and {"type": "null"} in choices:
        plain["anyOf"] = [choice for choice in choices if choice != {"type": "null"}]
        if len(plain["anyOf"]) == 1:
            plain |= plain.pop("anyOf")[0]
    return plain
