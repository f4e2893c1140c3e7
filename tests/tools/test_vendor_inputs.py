"""What the vendors' tools are given: a long list of wrong items costs no more than its first."""

import json
import time

import pytest
from pydantic import ValidationError

from exai.tools.table import TOOLS_BY_NAME


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("kimi_chat_with_tools", "messages"),
        ("kimi_chat_with_tools", "tools"),
        ("kimi_capture_headers", "messages"),
        ("kimi_chat_with_files", "file_ids"),
        ("glm_payload_preview", "tools"),
    ],
)
def test_a_long_list_is_read_no_further_than_its_first_wrong_item(name: str, field: str) -> None:
    arguments = {"messages": [{}], "prompt": "x", "file_ids": ["x"], field: [5] * 200_000}
    known = TOOLS_BY_NAME[name].input_model.model_fields
    text = json.dumps({name: value for name, value in arguments.items() if name in known})
    began = time.process_time()
    with pytest.raises(ValidationError) as refused:
        TOOLS_BY_NAME[name].input_model.model_validate_json(text)
    assert time.process_time() - began < 0.5
    assert refused.value.error_count() <= 3  # one for each kind that it might have been
    assert {error["loc"][0] for error in refused.value.errors()} == {field}


def test_null_takes_the_default_that_the_schema_tells() -> None:
    model = TOOLS_BY_NAME["glm_web_search"].input_model
    given = model.model_validate_json('{"search_query": "x", "count": null, "search_recency_filter": null}')
    assert given == model.model_validate_json('{"search_query": "x"}')
    assert given.model_fields_set == {"search_query"}
