"""What a schedule does: steps made from a seed. A step holds its own picks, so that it means much the same when steps
before it are taken out."""

import random
from typing import NamedTuple

_WEIGHTS = {
    "call": 30,
    "drop": 12,
    "resume": 14,
    "repeat": 12,
    "re-ask": 10,
    "cancel": 10,
    "cancel at once": 4,
    "ping": 8,
    "connect": 6,
}
_STEPS = 24
_LONGEST_PAUSE_S = 0.12
_KILLS_EVERY = 5  # one schedule of so many kills a process: the next one takes seconds to start


class Step(NamedTuple):
    """`picks` are numbers from 0 to 1 that choose among what there is when the step is taken."""

    deed: str
    pause_s: float
    picks: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.deed} ({', '.join(f'{pick:.2f}' for pick in self.picks)}), then {self.pause_s:.3f} s"


def steps_of(seed: int) -> list[Step]:
    """The steps of a schedule: the same for the same seed."""
    chance = random.Random(seed)
    deeds = chance.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()), k=_STEPS)
    if seed % _KILLS_EVERY == 0:
        deeds[chance.randrange(_STEPS // 3, _STEPS)] = "kill"
    return [
        # Some steps follow at once: what comes in one breath is another matter than what comes apart.
        Step(
            deed,
            chance.choice((0.0, 0.0, chance.uniform(0, _LONGEST_PAUSE_S))),
            tuple(chance.random() for _ in range(4)),
        )
        for deed in ["call", "call", *deeds]
    ]
