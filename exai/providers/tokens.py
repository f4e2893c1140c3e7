"""How many tokens a text may have. Vendors' tokenizers cannot be had offline; their own count corrects this later."""

# Upper bytes of UTF-16 units: kana, ideographs, hangul. A few other signs share these rows, which an estimate may take.
_CJK_UPPER_BYTES = bytes((0x30, *range(0x34, 0xA0), *range(0xAC, 0xD8), 0xF9, 0xFA))
TOKENS_PER_MESSAGE = 4  # role and separators


def estimate_tokens(text: str) -> int:
    """Four characters a token, 0.6 tokens a Chinese, Japanese or Korean character; rounded up."""
    cjk = 0 if text.isascii() else _count_cjk(text)
    return int((len(text) - cjk) / 4 + cjk * 0.6) + 1


def _count_cjk(text: str) -> int:
    # Without a step for each character or match: prompts are long, and this runs on the event loop.
    upper_bytes = text.encode("utf-16-le", "surrogatepass")[1::2]
    return len(upper_bytes) - len(upper_bytes.translate(None, _CJK_UPPER_BYTES))
