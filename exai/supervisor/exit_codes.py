"""How `manage.py up` ends, as a number for scripts and a reason for people."""

CONFIGURATION = 2
OCCUPIED = 3  # the port, or the data directory
PREPARATION = 4
CRASHING = 5


class HubError(Exception):
    """The hub cannot start or go on; the message says why and what to do, and holds no secret."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StopRequested(Exception):
    """Somebody asked the hub to stop before it had started."""
