"""Budgets counted in Redis for all processes: what calls may still come to is held, what they came to is settled.

The ledger in PostgreSQL is what counts. Redis is filled from it when it knows nothing of an account, and within the
hour in any case, so that what it lost, or what was changed in the ledger, is right again by itself. A call settles
once its record is in the ledger: until then it is held, and so is always in one of the two. A dead process's holds end
with their lease.

Without Redis nobody knows what the other processes hold: calls that have a budget are then refused.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import msgspec

from exai.calls import keys, scripts
from exai.calls.process import HeldByCall, Process
from exai.calls.redis_connection import Part
from exai.calls.redis_link import RedisAway, RedisLink, RedisRefused
from exai.models import BudgetPeriod
from exai.protocol.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

_FILLING_MS = 35_000  # unless the process that fills dies
_ACCOUNT_LIVES_MS = 3_600_000
_COUNTED_MS = 120_000  # from a record's writing to its settling
_PENDING_MS = 60_000  # longer than a filling takes
_POLL_S = 0.005
_LONGEST_POLL_S = 0.1
_PATIENCE_S = 15.0
_RETRY_S = 0.5


class Amounts(msgspec.Struct, frozen=True):
    """`nano` in billionths of a US dollar: whole numbers, so that sums are exact."""

    tokens: int = 0
    nano: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.tokens + other.tokens, self.nano + other.nano)

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(self.tokens - other.tokens, self.nano - other.nano)


class Account(msgspec.Struct, frozen=True):
    """What a client or a workspace may spend from `begins` to `ends`; a limit of None is none."""

    subject: str  # as in a key: `client:5`
    name: str  # as for people: `the client agent`
    period: str
    begins: datetime
    ends: datetime
    tokens: int | None
    nano: int | None
    client_id: int | None = None
    workspace: str = ""

    @property
    def key(self) -> str:
        return keys.budget_account(self.subject, self.period, self.begins)


class LedgerSum(msgspec.Struct, frozen=True):
    """What the ledger has for an account, and which of the calls in it were recorded a moment ago."""

    amounts: Amounts
    lately: Sequence[str]


class OverBudget(Exception):
    """`unit` is `tokens` or `usd`; amounts in that unit's whole numbers. `held`: what other calls may still need."""

    def __init__(self, account: Account, unit: str, *, settled: int, held: int) -> None:
        super().__init__(account.key)
        self.account = account
        self.unit = unit
        self.settled = settled
        self.held = held


class BudgetCounters:
    """`read_ledger` may raise `ServiceUnavailable`."""

    def __init__(
        self, link: RedisLink, process: Process, *, read_ledger: Callable[[Account], Awaitable[LedgerSum]]
    ) -> None:
        self._link = link
        self._process = process
        self._read_ledger = read_ledger
        # Some more than the time between two signs of life: all that runs is then held again.
        self._unsure_ms = round(process.lease_ms * 0.3)
        self._settling: set[asyncio.Task[None]] = set()

    async def hold(self, call_id: str, before: Amounts | None, amounts: Amounts, accounts: Sequence[Account]) -> None:
        """Holds the amounts in all accounts, in place of what the call held before; or raises `OverBudget`, and
        nothing has changed. Raises `ServiceUnavailable` while Redis or the ledger is away."""
        old, new = "" if before is None else _entry(call_id, before), _entry(call_id, amounts)
        arguments: list[Part] = [self._process.lease_ms, self._unsure_ms, _FILLING_MS, self._process.id, old, new]
        for account in accounts:
            arguments += (account.key, _limit(account.tokens), _limit(account.nano))
        loop = asyncio.get_running_loop()
        give_up_at, pause_s = loop.time() + _PATIENCE_S, _POLL_S
        while True:
            try:
                answer = await self._link.script(scripts.RESERVE_BUDGET, [], arguments)
                match answer:
                    case [b"held"]:
                        self._note(old, new, accounts)
                        return
                    case [b"exceeded", number, unit, settled, held]:
                        raise OverBudget(accounts[number], unit.decode(), settled=int(settled), held=int(held))
                    case [b"wait", wait_ms]:
                        await asyncio.sleep(wait_ms / 1000)
                    case [b"fill", *numbers] if numbers:
                        await asyncio.gather(*(self._fill(accounts[number]) for number in numbers))
                    case _:  # another call fills them
                        await asyncio.sleep(pause_s)
                        pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
            except RedisAway:
                raise _out_of_reach() from None
            except asyncio.CancelledError:
                # Redis may hold it all the same. What the call held before comes back with the next sign of life.
                for account in accounts:
                    self._link.send("ZREM", keys.budget_held(account.key), new)
                raise
            if loop.time() > give_up_at:
                raise _out_of_reach()

    def settle(self, call_id: str, held: Amounts, used: Amounts, accounts: Sequence[Account]) -> None:
        """Counts what a call came to in place of what it held; soon, also when Redis comes back only then. Its record
        must be in the ledger already."""
        entry = _entry(call_id, held)
        self._process.calls.pop(entry, None)
        task = asyncio.create_task(self._settle(entry, call_id, used, [account.key for account in accounts]))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def recount(self, *, client_id: int, workspace: str) -> None:
        """A process died with calls of this client, some perhaps on record but not settled: what is counted is filled
        anew. What is held stays until its lease ends."""
        now = datetime.now(UTC)
        for subject in (f"client:{client_id}", f"workspace:{workspace}"):
            for period in BudgetPeriod:
                begins, _ = period.around(now)
                self._link.send("DEL", keys.budget_account(subject, period.value, begins))

    async def drain(self, *, within_s: float) -> None:
        if self._settling:
            await asyncio.wait(set(self._settling), timeout=within_s)

    def _note(self, old: str, new: str, accounts: Sequence[Account]) -> None:
        """The process renews what it holds with its sign of life."""
        self._process.calls.pop(old, None)
        self._process.calls[new] = HeldByCall(new, [keys.budget_held(account.key) for account in accounts], "")

    async def _fill(self, account: Account) -> None:
        try:
            found = await self._read_ledger(account)
        except BaseException:
            self._link.send("DEL", keys.budget_filling(account.key))  # the next one tries
            raise
        sums = (found.amounts.tokens, found.amounts.nano, _ACCOUNT_LIVES_MS, _COUNTED_MS)
        await self._link.script(scripts.FILL_BUDGET, [], [account.key, *sums, *found.lately])

    async def _settle(self, entry: str, call_id: str, used: Amounts, accounts: list[str]) -> None:
        loop = asyncio.get_running_loop()
        pending_until, again = loop.time() + _PENDING_MS / 1000, False
        while True:
            arguments: list[Part] = [entry, call_id, used.tokens, used.nano, int(again), _PENDING_MS, *accounts]
            try:
                await self._link.script(scripts.SETTLE_BUDGET, [], arguments, lazily=True)
                return
            except RedisAway:
                again = True
                if loop.time() > pending_until:
                    used = Amounts()  # whoever fills the accounts from now on finds the record
                await asyncio.sleep(_RETRY_S)
            except RedisRefused:
                logger.exception("Redis refused the end of a call's budget")
                return


def _entry(call_id: str, amounts: Amounts) -> str:
    return f"{call_id} {amounts.tokens} {amounts.nano}"


def _limit(limit: int | None) -> Part:
    return "" if limit is None else limit


def _out_of_reach() -> ServiceUnavailable:
    return ServiceUnavailable(
        "What is left of your budget cannot be told at the moment. Try again in a few seconds.",
        reason="budget_unknown",
        retry_after=2,
    )
