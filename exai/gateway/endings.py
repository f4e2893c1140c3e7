"""What is left to do for a call that is over: its record, its places, and what is kept of it."""

import time

from conversations.records import EndedCall
from exai.calls.admission import Admission, Standing
from exai.calls.kept_calls import KeptCalls
from exai.gateway.call_records import CallRecords
from exai.gateway.running_call import RunningCall


class Endings:
    def __init__(self, *, admission: Admission, kept: KeptCalls, records: CallRecords) -> None:
        self._admission = admission
        self._kept = kept
        self._records = records
        self._recording: set[str] = set()

    def are_under_way(self, call_id: str) -> bool:
        """Whether the end of the call, or its record, is on its way to where others see it."""
        return call_id in self._recording or self._kept.is_ending(call_id)

    def record(self, call: RunningCall, ended: EndedCall) -> None:
        """Writes the record beside the answer. Until it is written the call stays listed in Redis: should this process
        die before, whoever sees to its calls writes one."""
        call_id = str(call.id)
        self._recording.add(call_id)

        def recorded() -> None:
            self._recording.discard(call_id)
            call.settle_budget()
            if call.stays_listed:
                self._kept.unlist(call_id)

        self._records.add(ended, recorded)

    def give_back(self, call: RunningCall, result: str, *, repeatable: bool) -> None:
        """Gives back what the call holds, and keeps its result frame. `repeatable`: the result is no answer, and a
        repeat of the request runs anew."""
        asked, call_id = call.asked, str(call.id)
        if asked is None or call.attached_to is not None or not asked.was_sent:
            self._kept.forget(call_id)
        else:
            held_s = time.perf_counter() - call.started - call.queue_s
            call.stays_listed = call_id in self._recording
            self._kept.finish(asked, result, repeatable=repeatable, held_s=held_s, stays_listed=call.stays_listed)
        if asked is not None and asked.standing is Standing.COUNTED_HERE:
            self._admission.give_back_here(asked)

    async def drain(self, *, within_s: float) -> None:
        """Waits for each of ends and records for so long."""
        await self._kept.drain(within_s=within_s)
        await self._records.drain(within_s=within_s)
