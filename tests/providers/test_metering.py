"""Every request leaves one record, however it ends."""

import asyncio
from contextlib import aclosing

import pytest

from exai.protocol.values import Usage
from exai.providers.base import ModelRequest, ReasoningDelta, TextDelta
from exai.providers.metering import Metered, RequestRecord
from exai.providers.retry import Retrying, RetryPolicy
from tests.providers.asking import answer, failure, question
from tests.providers.scripted import ANSWER, END, SILENCE, Scripted, status


class Listed:
    def __init__(self) -> None:
        self.records: list[RequestRecord] = []

    def record(self, record: RequestRecord) -> None:
        self.records.append(record)


async def test_an_answer_leaves_its_tokens_and_times() -> None:
    meter = Listed()
    vendor = Scripted([0.02, ReasoningDelta("hm"), 0.02, *ANSWER])
    await answer(Metered(vendor, meter), ModelRequest("model", (), call_id="call-1"))
    [record] = meter.records
    assert (record.provider, record.model, record.call_id) == ("vendor", "model", "call-1")
    assert (record.outcome, record.error_code, record.usage) == (
        "succeeded",
        "",
        Usage(input_tokens=1, output_tokens=2),
    )
    assert record.ttft_ms is not None
    assert 18 <= record.ttft_ms < record.total_ms
    assert record.total_ms >= 36


async def test_all_attempts_are_one_record() -> None:
    meter = Listed()
    provider = Metered(Retrying(Scripted([status(503)], ANSWER), RetryPolicy(first_pause_s=0.001)), meter)
    await answer(provider, question("model"))
    assert [(record.outcome, record.attempts) for record in meter.records] == [("succeeded", 2)]


async def test_a_failure_is_recorded_with_its_code() -> None:
    meter = Listed()
    await failure(Metered(Scripted([status(500)]), meter), question("model"))
    [record] = meter.records
    assert (record.outcome, record.error_code, record.ttft_ms) == ("failed", "PROVIDER_ERROR", None)


async def test_a_fault_is_recorded_too() -> None:
    class Faulty(Scripted):
        def ask(self, request: ModelRequest):  # type: ignore[no-untyped-def]  # it never comes to an answer
            raise KeyError("no such thing")

    meter = Listed()
    with pytest.raises(KeyError):
        await answer(Metered(Faulty(), meter), question("model"))
    assert [(record.outcome, record.error_code) for record in meter.records] == [("failed", "INTERNAL_ERROR")]


async def test_a_cancelled_request_is_recorded_as_cancelled() -> None:
    meter, vendor = Listed(), Scripted([TextDelta("good "), SILENCE])
    asking = asyncio.create_task(answer(Metered(vendor, meter), question("model")))
    await vendor.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    [record] = meter.records
    assert record.outcome == "cancelled"
    assert record.usage == Usage()


async def test_a_reader_that_goes_away_cancels_but_not_after_the_end() -> None:
    meter = Listed()
    for last in (ANSWER[0], END):
        async with aclosing(Metered(Scripted(), meter).ask(question("model"))) as events:
            async for event in events:
                if event == last:
                    break
    assert [record.outcome for record in meter.records] == ["cancelled", "succeeded"]
