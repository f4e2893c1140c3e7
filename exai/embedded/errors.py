"""What goes wrong with the embedded engines."""


class EngineError(Exception):
    """An engine cannot be used; the message says what happened and what to do, and holds no secret."""
