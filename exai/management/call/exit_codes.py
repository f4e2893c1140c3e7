"""What `manage.py call` ends with."""

from enum import IntEnum


class ExitCode(IntEnum):
    ANSWERED = 0
    FAILED = 1  # the call was made, and ended with an error
    USAGE = 2  # wrong words on the command line; nothing was sent
    NO_HUB = 3  # no hub answers, or the connection was lost
    REFUSED = 4  # the hub does not take the token
    CANCELLED = 130  # by Ctrl-C
