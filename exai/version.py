"""The hub's version, the same as in pyproject.toml."""

VERSION = "0.1.0"
PROTOCOL_VERSION = 1
