"""The breakers of one process alone: where nothing is shared, and for while what is shared is out of reach."""

import secrets
import time
from collections import deque
from collections.abc import Callable

from exai.providers.breaker import CLOSED, BreakerRules, Outcome, Standing, refusal


class _Breaker:
    """Times by the clock of `LocalBreakers`. `open_until` None: closed."""

    def __init__(self, rules: BreakerRules) -> None:
        self.open_until: float | None = None
        self.trial = ""
        self.trial_until = 0.0
        self.calls: deque[tuple[float, bool]] = deque(maxlen=max(rules.window_calls, rules.failures_in_a_row))


class LocalBreakers:
    """Implements `exai.providers.breaker.Breakers`. `clock` in seconds."""

    def __init__(self, rules: BreakerRules | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules or BreakerRules()
        self._clock = clock
        self._breakers: dict[str, _Breaker] = {}

    def standing(self, provider: str) -> Standing:
        breaker = self._breakers.get(provider)
        if breaker is None or breaker.open_until is None:
            return CLOSED
        left_s = breaker.open_until - self._clock()
        return Standing("open", left_s) if left_s > 0 else Standing("half-open")

    async def enter(self, provider: str) -> str:
        breaker = self._breakers.get(provider)
        if breaker is None or breaker.open_until is None:
            return ""
        now = self._clock()
        if now < breaker.open_until:
            raise refusal(provider, breaker.open_until - now)
        if now < breaker.trial_until:
            raise refusal(provider, 1)
        breaker.trial, breaker.trial_until = secrets.token_hex(8), now + self._rules.trial_s
        return breaker.trial

    def leave(self, provider: str, trial: str, outcome: Outcome) -> None:
        if not self._rules.open_s or (outcome is Outcome.NEITHER and not trial):
            return
        breaker = self._breakers.get(provider)
        if breaker is None:
            breaker = self._breakers[provider] = _Breaker(self._rules)
        if trial:
            self._end_trial(provider, breaker, trial, outcome)
        elif breaker.open_until is None:
            breaker.calls.append((self._clock(), outcome is Outcome.FAILED))
            if outcome is Outcome.FAILED and self._trips(breaker):
                self.open(provider, self._rules.open_s)

    def open(self, provider: str, seconds: float) -> None:
        breaker = self._breakers[provider] = _Breaker(self._rules)
        breaker.open_until = self._clock() + seconds

    def reset(self, provider: str | None = None) -> None:
        """Closes it, or all, and forgets what was counted."""
        if provider is None:
            self._breakers.clear()
        else:
            self._breakers.pop(provider, None)

    def _end_trial(self, provider: str, breaker: _Breaker, trial: str, outcome: Outcome) -> None:
        if breaker.trial != trial:
            return  # it was given up, and what it shows is old
        if outcome is Outcome.SUCCEEDED:
            self.reset(provider)
        elif outcome is Outcome.FAILED:
            self.open(provider, self._rules.open_s)
        else:
            breaker.trial, breaker.trial_until = "", 0.0

    def _trips(self, breaker: _Breaker) -> bool:
        rules, calls = self._rules, list(breaker.calls)
        last = calls[-rules.failures_in_a_row :]
        if len(last) == rules.failures_in_a_row and all(failed for _, failed in last):
            return True
        window = calls[-rules.window_calls :]
        failures = sum(failed for _, failed in window)
        return (
            len(window) == rules.window_calls
            and window[0][0] > self._clock() - rules.window_s
            and failures > rules.window_share * rules.window_calls
        )
