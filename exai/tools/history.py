"""How much of a conversation goes to the model: whole turns, the newest that fit, oldest first."""

from collections.abc import Callable, Sequence

from exai.protocol.values import FileMention, Turn
from exai.providers.tokens import TOKENS_PER_MESSAGE, estimate_tokens

TokensOfFiles = Callable[[Sequence[FileMention]], int]  # of those that it was not asked for before


def newest_that_fit(turns: Sequence[Turn], budget_tokens: int, tokens_of_files: TokensOfFiles) -> Sequence[Turn]:
    """The longest tail of `turns` of at most so many estimated tokens."""
    for kept, turn in enumerate(reversed(turns)):
        budget_tokens -= tokens_of(turn)
        if turn.files:
            budget_tokens -= tokens_of_files(turn.files)
        if budget_tokens < 0:
            return turns[len(turns) - kept :]
    return turns


def tokens_of(turn: Turn) -> int:
    """An estimate, without its files."""
    return estimate_tokens(turn.user) + estimate_tokens(turn.assistant) + 2 * TOKENS_PER_MESSAGE
