"""How many tokens a text may have. Vendors' tokenizers cannot be had offline; their own count corrects this later."""

import re

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
TOKENS_PER_MESSAGE = 4  # role and separators


def estimate_tokens(text: str) -> int:
    """Four characters a token, 0.6 tokens a Chinese, Japanese or Korean character; rounded up."""
    cjk = 0 if text.isascii() else sum(1 for _ in _CJK.finditer(text))
    return int((len(text) - cjk) / 4 + cjk * 0.6) + 1
