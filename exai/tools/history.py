"""How much of a conversation goes to the model: whole turns, the newest that fit, oldest first."""

from collections.abc import Sequence

from exai.protocol.values import Turn
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens


def newest_that_fit(turns: Sequence[Turn], budget_tokens: int) -> Sequence[Turn]:
    """The longest tail of `turns` of at most so many estimated tokens."""
    for kept, turn in enumerate(reversed(turns)):
        budget_tokens -= tokens_of(turn)
        if budget_tokens < 0:
            return turns[len(turns) - kept :]
    return turns


def tokens_of(turn: Turn) -> int:
    """An estimate."""
    return estimate_tokens(turn.user) + estimate_tokens(turn.assistant) + 2 * TOKENS_PER_MESSAGE
