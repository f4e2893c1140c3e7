"""Vendors that answer with a status or an error instead of text: what the caller is told, and what never."""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from exai.protocol.errors import ContentTooLarge, HubError, ProviderFailed
from exai.providers import endpoint
from exai.providers.failures import LONGEST_REASON
from tests.providers.asking import KEY, KEY_SETTING, Endpoints, answer, failure, provider_failure, question
from tests.providers.wire import WHOLE, content, event, vendor_that_sends
from tests.upstream import Upstream


def error(message: str, **rest: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "some_error", **rest}}


def everything_said(failed: HubError) -> str:
    return f"{failed.message} {failed.details} {failed!r} {failed} {failed.__cause__!r} {failed.__context__!r}"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_names_the_setting_and_shows_nothing_of_the_key(
    upstream: Upstream, endpoints: Endpoints, model: str, status: int
) -> None:
    upstream.behave(model, status=status, error_body=error(f"Incorrect key {KEY[:8]}***: {KEY}"))
    failed = await provider_failure(endpoints.make(), question(model))
    assert KEY_SETTING in failed.message
    assert failed.details == {"provider": "vendor", "status": status, "retryable": False}
    assert KEY[:8] not in everything_said(failed)


@pytest.mark.parametrize(
    ("status", "retryable", "words"),
    [
        (400, False, "failed with status 400"),
        (402, False, "failed with status 402"),
        (404, False, "does not know this model"),
        (408, True, "too long to answer"),
        (422, False, "failed with status 422"),
        (429, True, "rate limit"),
        (500, True, "failed with status 500"),
        (501, False, "failed with status 501"),
        (502, True, "failed with status 502"),
        (503, True, "failed with status 503"),
        (504, True, "failed with status 504"),
    ],
)
async def test_each_status_says_whether_another_try_may_succeed(
    upstream: Upstream, endpoints: Endpoints, model: str, status: int, retryable: bool, words: str
) -> None:
    upstream.behave(model, status=status, error_body=error("the reason why"))
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.details == {"provider": "vendor", "status": status, "retryable": retryable}
    assert failed.message.startswith("vendor ")
    assert words in failed.message
    assert failed.message.endswith(" It says: the reason why")


async def test_what_succeeds_later_succeeds(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, text="at last", status=503, first_failures=1)
    provider = endpoints.make()
    await provider_failure(provider, question(model))
    assert (await answer(provider, question(model))).text == "at last"


async def test_the_time_to_wait_is_passed_on(upstream: Upstream, endpoints: Endpoints, model: str) -> None:
    upstream.behave(model, status=429, retry_after=7)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.details["retry_after"] == 7


@pytest.mark.parametrize(("ahead_s", "least", "most"), [(60, 50, 60), (-60, 0, 0)], ids=["to come", "past"])
async def test_a_time_to_wait_until_a_date_is_passed_on_in_seconds(
    upstream: Upstream, endpoints: Endpoints, model: str, ahead_s: int, least: int, most: int
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead_s), usegmt=True)
    upstream.behave(model, status=503, retry_after=date)
    failed = await provider_failure(endpoints.make(), question(model))
    assert least <= failed.details["retry_after"] <= most


@pytest.mark.parametrize(
    "header",
    ["soon", "", "-1", "1.5", "\u00b2", "9" * 5000, "Wed, 99 Oct 2026 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"],
)
async def test_a_time_to_wait_of_another_form_or_beyond_all_patience_is_passed_over(
    endpoints: Endpoints, header: str
) -> None:
    head = "429 Too Many Requests", {"Content-Type": "application/json", "Retry-After": header}
    async with vendor_that_sends(b"{}", head=head) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.details == {"provider": "vendor", "status": 429, "retryable": True}


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens",
        "Invalid request: Your request exceeded model token limit: 8192",
        "the prompt is too long",
        "Input token length too long",
        "Prompt exceeds max length",
        "total message size 3000000 exceeds limit 2097152",
    ],
)
async def test_a_prompt_beyond_the_context_is_content_too_large(
    upstream: Upstream, endpoints: Endpoints, model: str, message: str
) -> None:
    upstream.behave(model, status=400, error_body=error(message))
    failed = await failure(endpoints.make(), question(model))
    assert isinstance(failed, ContentTooLarge)
    assert message in failed.message


async def test_the_code_of_a_vendor_s_error_counts_as_its_words(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, status=400, error_body=error("No.", code="context_length_exceeded"))
    assert isinstance(await failure(endpoints.make(), question(model)), ContentTooLarge)


async def test_an_error_that_comes_in_pieces_is_read_whole(endpoints: Endpoints) -> None:
    head = "400 Bad Request", {"Content-Type": "application/json"}
    pieces = (b'{"error":{"message":', b'"maximum context', b' length is 10"}}')
    async with vendor_that_sends(*pieces, head=head) as wire:
        assert isinstance(await failure(endpoints.make(wire.url), question("m")), ContentTooLarge)


@pytest.mark.parametrize(("status", "retryable", "words"), [(401, False, KEY_SETTING), (429, True, "rate limit")])
async def test_an_error_whose_words_break_off_is_told_by_its_status(
    endpoints: Endpoints, status: int, retryable: bool, words: str
) -> None:
    head = f"{status} No", {"Content-Length": "5000", "Retry-After": "7"}
    async with vendor_that_sends(b'{"error":', head=head) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert words in failed.message
    assert failed.details == {"provider": "vendor", "status": status, "retryable": retryable, "retry_after": 7}


async def test_an_error_whose_words_do_not_come_is_told_by_its_status(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_PATIENCE_FOR_ERROR_S", 0.1)

    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 5000\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(stalls, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with asyncio.timeout(4):
            failed = await provider_failure(endpoints.make(url), question("m"))
    assert (KEY_SETTING in failed.message, failed.details["status"]) == (True, 401)


@pytest.mark.parametrize("member", ["code", "type"])
async def test_a_content_filter_gives_its_reason(
    upstream: Upstream, endpoints: Endpoints, model: str, member: str
) -> None:
    refusal = {"error": {"message": "The request was rejected as high risk", member: "content_filter"}}
    upstream.behave(model, status=400, error_body=refusal)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.details == {"provider": "vendor", "status": 400, "retryable": False}
    assert "refused the content" in failed.message
    assert "rejected as high risk" in failed.message


@pytest.mark.parametrize(
    "said",
    [
        {"message": "You exceeded your quota", "type": "exceeded_current_quota_error"},
        {"message": "You exceeded your quota", "code": "insufficient_quota"},
        {"message": "Insufficient balance or no resource package. Please recharge.", "code": "1113"},
        {"message": "Your account is in arrears, please recharge and try again", "code": "1113"},
    ],
)
async def test_a_key_without_money_is_not_asked_again(
    upstream: Upstream, endpoints: Endpoints, model: str, said: dict[str, str]
) -> None:
    upstream.behave(model, status=429, error_body={"error": said})
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.details == {"provider": "vendor", "status": 429, "retryable": False}
    assert "no quota or balance left" in failed.message
    assert said["message"] in failed.message


@pytest.mark.parametrize("reason", ["content_filter", "sensitive"])
@pytest.mark.parametrize("ignore_stream", [False, True])
async def test_an_answer_that_a_filter_ended_is_a_failure_with_what_had_come(
    upstream: Upstream, endpoints: Endpoints, model: str, reason: str, ignore_stream: bool
) -> None:
    upstream.behave(model, text="one two", finish_reason=reason, ignore_stream=ignore_stream)
    failed = await provider_failure(endpoints.make(), question(model))
    assert f"refused the content: its filter ended the answer ({reason})" in failed.message
    assert failed.details == {"provider": "vendor", "status": None, "retryable": False, "partial_text": "one two"}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_the_vendor_says_it_broke_off_is_none(
    upstream: Upstream, endpoints: Endpoints, model: str, stream: bool
) -> None:
    upstream.behave(model, text="one two", finish_reason="network_error")
    failed = await provider_failure(endpoints.make(), question(model, stream=stream))
    assert failed.message == "vendor broke off its answer (network_error)."
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True, "partial_text": "one two"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_context_that_is_full_before_the_answer_is_content_too_large_and_later_a_cut(
    upstream: Upstream, endpoints: Endpoints, model: str, stream: bool
) -> None:
    upstream.behave(model, text="", finish_reason="model_context_window_exceeded")
    assert isinstance(await failure(endpoints.make(), question(model, stream=stream)), ContentTooLarge)
    upstream.behave(model, text="one", finish_reason="model_context_window_exceeded")
    assert (await answer(endpoints.make(), question(model, stream=stream))).text == "one"


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_a_vendor_s_message_is_passed_on_without_the_key_in_it(
    upstream: Upstream, endpoints: Endpoints, model: str, status: int
) -> None:
    upstream.behave(model, status=status, error_body=error(f"Header 'Bearer {KEY}' {'x' * 2000}", code=KEY))
    failed = await provider_failure(endpoints.make(), question(model))
    assert "Header 'Bearer …'" in failed.message
    assert KEY not in everything_said(failed)
    assert len(failed.message) < LONGEST_REASON + 100


@pytest.mark.parametrize(
    "body",
    ["", "<html>Bad gateway</html>", "[]", "5", "null", '{"error":5}', '{"error":{"message":null}}', "[" * 60_000],
    ids=["empty", "html", "list", "number", "null", "no error", "no message", "nested"],
)
async def test_an_error_without_readable_words_is_told_by_its_status(
    upstream: Upstream, endpoints: Endpoints, model: str, body: str
) -> None:
    upstream.behave(model, status=502, error_body=body)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.message == "vendor failed with status 502."


@pytest.mark.parametrize(
    "body", [{"error": "just words"}, {"message": "just words"}, {"error": {"message": "just words"}}]
)
async def test_vendors_words_are_found_in_each_usual_place(
    upstream: Upstream, endpoints: Endpoints, model: str, body: dict[str, Any]
) -> None:
    upstream.behave(model, status=500, error_body=body)
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.message == "vendor failed with status 500. It says: just words"


async def test_words_that_cannot_be_sent_are_mended(endpoints: Endpoints) -> None:
    body = rb'{"error":{"message":"a\u0000b\ud83d\ude00c\ud83d"}}'
    head = "500 Internal Server Error", {"Content-Type": "application/json"}
    async with vendor_that_sends(body, head=head) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.message.endswith("It says: a\ufffdb😀c\ufffd")


async def test_an_error_inside_the_stream_carries_the_partial_text(
    upstream: Upstream, endpoints: Endpoints, model: str
) -> None:
    upstream.behave(model, text="one two", chunks=2, fail_in_stream=f"overloaded, key {KEY}")
    failed = await provider_failure(endpoints.make(), question(model))
    assert failed.message == "vendor failed midway. It says: overloaded, key …"
    assert failed.details == {"provider": "vendor", "status": None, "retryable": True, "partial_text": "one"}
    assert KEY not in everything_said(failed)


@pytest.mark.parametrize("said", ['{"message":"\\ud83d"}', '"words"', "true", "[1]", '{"code":1.5}'])
async def test_an_error_inside_the_stream_may_have_any_shape(endpoints: Endpoints, said: str) -> None:
    async with vendor_that_sends(content("one"), event(f'{{"error":{said}}}')) as wire:
        failed = await provider_failure(endpoints.make(wire.url), question("m"))
    assert failed.message.startswith("vendor failed midway.")
    assert failed.details["partial_text"] == "one"


async def test_an_error_in_a_whole_answer_is_one_too(endpoints: Endpoints) -> None:
    async with vendor_that_sends(b'{"error":{"message":"maximum context length is 10"}}', head=WHOLE) as wire:
        assert isinstance(await failure(endpoints.make(wire.url), question("m")), ContentTooLarge)


async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(endpoints: Endpoints) -> None:
    async with vendor_that_sends(b"", head=WHOLE) as elsewhere:
        for status in ("301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
            async with vendor_that_sends(b"", head=(status, {"Location": elsewhere.url})) as wire:
                failed = await provider_failure(endpoints.make(wire.url), question("m"))
                assert len(wire.requests) == 1
            assert isinstance(failed, ProviderFailed)
            assert failed.details == {"provider": "vendor", "status": int(status[:3]), "retryable": False}
        assert elsewhere.requests == []
