"""The input schemas are the contract with existing callers: nothing that they may send is taken away or narrowed."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from exai.tools.base import Tool
from exai.tools.input_schema import input_schema
from exai.tools.table import TOOLS, TOOLS_BY_NAME

CONTRACT: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("contract_schemas.json").read_text())
# What states the shape of a value; all else in a schema is words.
STATED = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "default", "pattern")


def shape(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without its words, with what it leaves to the default said.

    The contract writes null as a choice of its own, ours leaves it out: every optional field may be null.
    """
    stated = {key: schema[key] for key in STATED if key in schema and schema[key] is not None}
    if isinstance(stated.get("type"), list):
        [stated["type"]] = [kind for kind in stated["type"] if kind != "null"]
    if "items" in schema:
        stated["items"] = shape(schema["items"])
    choices = [choice for choice in schema.get("anyOf") or schema.get("oneOf") or () if choice != {"type": "null"}]
    if len(choices) == 1:
        stated |= shape(choices[0])
    elif choices:
        stated["anyOf"] = [shape(choice) for choice in choices]
    if schema.get("type") == "object":
        stated["properties"] = {name: shape(field) for name, field in schema.get("properties", {}).items()}
        stated["required"] = sorted(schema.get("required", []))
        stated["additionalProperties"] = schema.get("additionalProperties", True)
    return stated


def needed(tool: Tool[Any]) -> dict[str, Any]:
    """The least arguments that a tool takes."""
    samples = {"string": "x", "integer": 1, "boolean": True, "array": []}
    schema = input_schema(tool.input_model)
    return {name: _sample(schema["properties"][name], samples) for name in schema["required"]}


def _sample(field: dict[str, Any], samples: dict[str, Any]) -> Any:
    if "enum" in field:
        return field["enum"][0]
    return samples[field.get("type", "string")]


def validate(tool: Tool[Any], arguments: dict[str, Any]) -> Any:
    return tool.input_model.model_validate_json(json.dumps(arguments))


@pytest.mark.parametrize("name", CONTRACT)
def test_the_input_schema_is_that_of_the_contract(name: str) -> None:
    ours, contract = shape(input_schema(TOOLS_BY_NAME[name].input_model)), shape(CONTRACT[name])
    added = set(ours["properties"]) - set(contract["properties"])
    assert not added & set(ours["required"]), "a property that is added must be optional"
    for addition in added:
        del ours["properties"][addition]
    assert ours == contract


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_schema_has_neither_titles_nor_nulls_nor_references(tool: Tool[Any]) -> None:
    text = json.dumps(input_schema(tool.input_model))
    assert not any(word in text for word in ('"title"', '"null"', "null", "$ref", "$defs"))


def test_every_tool_has_a_name_of_its_own_and_a_description() -> None:
    names = [tool.name for tool in TOOLS]
    assert len(names) == len(set(names))
    assert list(TOOLS_BY_NAME) == names
    for tool in TOOLS:
        assert 10 < len(tool.description) < 400
        assert tool.description.endswith(".")


@pytest.mark.parametrize(
    ("tool", "field"), [(tool, field) for tool in TOOLS for field in input_schema(tool.input_model)["properties"]]
)
def test_an_optional_field_may_be_null_which_counts_as_absent(tool: Tool[Any], field: str) -> None:
    required = needed(tool)
    if field in required:
        with pytest.raises(ValidationError):
            validate(tool, {**required, field: None})
    else:
        validate(tool, {**required, field: None})


def beyond(field: dict[str, Any]) -> list[Any]:
    """Values that a field's schema forbids."""
    if "type" not in field:
        return [5]  # of the choices of a field none is a number
    wrong: list[Any] = [{"string": 5, "boolean": "true", "array": "a"}.get(field["type"], "1")]
    wrong += [field["minimum"] - 1] if "minimum" in field else []
    wrong += [field["maximum"] + 1] if "maximum" in field else []
    wrong += ["no such choice"] if "enum" in field else []
    wrong += [[5]] if field["type"] == "array" else []
    return wrong


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_bound_of_a_schema_is_enforced(tool: Tool[Any]) -> None:
    for name, field in input_schema(tool.input_model)["properties"].items():
        for value in beyond(field):
            with pytest.raises(ValidationError) as caught:
                validate(tool, {**needed(tool), name: value})
            assert {error["loc"][0] for error in caught.value.errors()} == {name}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("chat", "prompt", 5),
        ("chat", "prompt", ["hi"]),
        ("chat", "temperature", "0.5"),
        ("chat", "temperature", True),
        ("chat", "temperature", -0.01),
        ("chat", "temperature", 1.01),
        ("chat", "thinking_mode", "huge"),
        ("chat", "use_websearch", "true"),
        ("chat", "use_websearch", 1),
        ("chat", "stream", 0),
        ("chat", "model", 5),
        ("chat", "continuation_id", 5),
        ("chat", "files", "a.py"),
        ("chat", "files", [5]),
        ("chat", "files", [{"name": "a.py"}]),
        ("chat", "files", [{"name": "a.py", "content": 5}]),
        ("chat", "images", {"name": "a", "content": "b"}),
        ("status", "tail_lines", "30"),
        ("status", "tail_lines", 1.5),
        ("status", "tail_lines", True),
        ("status", "doctor", "yes"),
        ("health", "tail_lines", "50"),
        ("version", "model", 1),
        ("listmodels", "model", False),
        ("smart_file_query", "provider", "openai"),
        ("smart_file_query", "file_path", ["a"]),
        ("smart_file_download", "encoding", "hex"),
        ("kimi_upload_files", "files", [5]),
        ("kimi_upload_files", "purpose", "batch"),
        ("kimi_chat_with_files", "temperature", 1.01),
        ("kimi_chat_with_files", "file_ids", "file-1"),
        ("kimi_manage_files", "operation", "upload"),
        ("kimi_manage_files", "limit", "10"),
        ("kimi_manage_files", "dry_run", "true"),
        ("glm_upload_file", "purpose", "file-extract"),
        ("kimi_chat_with_tools", "messages", 5),
        ("kimi_chat_with_tools", "tools", ["a"]),
        ("kimi_chat_with_tools", "tool_choice", 1),
        ("kimi_intent_analysis", "use_websearch", 1),
        ("kimi_capture_headers", "messages", "hi"),
        ("kimi_capture_headers", "session_id", 5),
        ("glm_web_search", "search_recency_filter", "noLimit"),
        ("glm_web_search", "count", 1.5),
        ("glm_payload_preview", "tools", {}),
        ("consensus", "step_number", 0),
        ("consensus", "total_steps", 0),
        ("consensus", "next_step_required", "false"),
        ("consensus", "models", "kimi"),
        ("consensus", "models", [{"stance": "for"}]),
        ("consensus", "models", [{"model": "m", "stance": "maybe"}]),
        ("consensus", "current_model_index", -1),
        ("consensus", "model_responses", ["text"]),
        ("activity", "lines", 9),
        ("activity", "lines", 5001),
        ("activity", "source", "everything"),
        ("activity", "structured", 1),
        ("provider_capabilities", "include_tools", "no"),
        ("self-check", "log_lines", -1),
        ("self-check", "log_lines", 501),
    ],
)
def test_a_value_of_another_type_or_beyond_a_bound_is_refused(name: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        validate(TOOLS_BY_NAME[name], {**needed(TOOLS_BY_NAME[name]), field: value})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


@pytest.mark.parametrize("temperature", [0, 1, 0.5, 0.0, 1.0])
def test_a_bound_itself_is_taken(temperature: float) -> None:
    assert validate(TOOLS_BY_NAME["chat"], {"prompt": "hi", "temperature": temperature}).temperature == temperature


def test_a_missing_prompt_is_refused() -> None:
    with pytest.raises(ValidationError):
        validate(TOOLS_BY_NAME["chat"], {})


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_fields_that_there_are_not_are_refused_where_the_contract_says_so(tool: Tool[Any]) -> None:
    arguments = {**needed(tool), "no_such_field": 1}
    if CONTRACT[tool.name].get("additionalProperties", True):
        validate(tool, arguments)
    else:
        with pytest.raises(ValidationError):
            validate(tool, arguments)
