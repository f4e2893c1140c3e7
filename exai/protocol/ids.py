"""Ids that the hub gives."""

import os
import time
import uuid


def time_ordered_uuid() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562, section 5.7): milliseconds first, so that an index over it grows at its end."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (2**48 - 1)) << 80 | random
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return uuid.UUID(int=value)
