"""The errors that a client can meet. Each class has its code; what is raised is what is answered."""

from enum import StrEnum
from typing import Any, ClassVar


class ErrorCode(StrEnum):
    INVALID_REQUEST = "INVALID_REQUEST"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    TOOL_NOT_FOUND = "TOOL_NOT_FOUND"
    OVER_CAPACITY = "OVER_CAPACITY"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    TOOL_EXECUTION_ERROR = "TOOL_EXECUTION_ERROR"
    CONTENT_TOO_LARGE = "CONTENT_TOO_LARGE"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class HubError(Exception):
    """An error with words for the caller: `message` says what happened and what to do, `details` holds values.

    The names of details may be a caller's own, such as those of fields that there are not, so they may also be
    `message` and `self`.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidRequest(HubError):
    """The structure of a frame is wrong."""

    code = ErrorCode.INVALID_REQUEST


class InvalidValue(HubError):
    """A value is wrong; `details` maps each field to the reason."""

    code = ErrorCode.VALIDATION_ERROR


class Unauthorized(HubError):
    code = ErrorCode.UNAUTHORIZED


class NotFound(HubError):
    code = ErrorCode.NOT_FOUND


class ToolNotFound(HubError):
    code = ErrorCode.TOOL_NOT_FOUND


class OverCapacity(HubError):
    code = ErrorCode.OVER_CAPACITY


class TooManyFrames(OverCapacity):
    """A frame came faster than frames are taken."""


class CallTimeout(HubError):
    code = ErrorCode.TIMEOUT


class CallCancelled(HubError):
    code = ErrorCode.CANCELLED


class ServiceUnavailable(HubError):
    """The hub cannot serve at the moment; the same call may succeed later."""

    code = ErrorCode.SERVICE_UNAVAILABLE

    def __init__(self, message: str, /, **details: Any) -> None:
        super().__init__(message, retryable=True, **details)


class CallAbandoned(ServiceUnavailable):
    """The process that ran the call had to stop before it ended."""

    def __init__(self) -> None:
        super().__init__("The hub had to stop before the call ended. Call again.", retry_after=1)


class CallLost(HubError):
    """The process that ran the call died."""

    def __init__(self) -> None:
        super().__init__("The process that ran this call died before it ended. Call again.", retryable=True)


class ContentTooLarge(HubError):
    code = ErrorCode.CONTENT_TOO_LARGE


class BudgetExceeded(HubError):
    """A budget does not allow a model request any more, or not one of this size. No model was asked."""

    code = ErrorCode.BUDGET_EXCEEDED


class InternalError(HubError):
    """A fault of the hub. The caller gets a reference; what happened stands in the log under it."""

    def __init__(self, reference: str) -> None:
        super().__init__(
            f"The hub failed to answer. Its log explains it under the reference {reference}.", reference=reference
        )


class ProviderFailed(HubError):
    """A vendor did not answer as it should. `partial_text` is what it had streamed before it failed."""

    code = ErrorCode.PROVIDER_ERROR

    def __init__(
        self, message: str, *, provider: str, status: int | None = None, retryable: bool, partial_text: str = ""
    ) -> None:
        partial = {"partial_text": partial_text} if partial_text else {}
        super().__init__(message, provider=provider, status=status, retryable=retryable, **partial)


class ProviderUnreachable(ProviderFailed):
    """The connection to a vendor could not be made, or was lost."""
