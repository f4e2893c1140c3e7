"""An endpoint that answers model requests: a vendor, or any that speaks the chat-completions dialect."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone
from pydantic import TypeAdapter
from pydantic import ValidationError as InvalidUrl

from exai.settings.values import HttpUrl

VENDORS = ("kimi", "glm")  # known without a row; theirs overrides what the environment says
TEST_PROVIDER = "exai"
PROVIDER_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
_http_url: TypeAdapter[str] = TypeAdapter(HttpUrl)

provider_name = RegexValidator(PROVIDER_NAME_PATTERN, "Up to 40 lower-case letters, digits, - and _; no - or _ first.")


def base_url(value: str) -> None:
    """Raises `ValidationError` unless it is an http(s) URL with a host and without user and password."""
    try:
        _http_url.validate_python(value)
    except InvalidUrl as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ValidationError(f"It {reason}.") from None


class ProviderEndpoint(models.Model):
    """A row wins over the environment's endpoint of its name; what it leaves empty stays as the environment says."""

    name = models.CharField(max_length=40, unique=True, validators=[provider_name])
    enabled = models.BooleanField(default=True, help_text="Off: its models are offered to nobody.")
    url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[base_url],
        help_text="Such as https://llm.example.com/v1. May be empty where the environment has one.",
    )
    sealed_key = models.TextField(blank=True, editable=False, help_text="exai.sealing; empty: none of its own.")
    max_inflight = models.PositiveIntegerField(
        "requests in flight",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="In all processes; empty: as the environment says, else 64.",
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "provider_endpoints"
        ordering = ("name",)
        verbose_name = "endpoint"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(name__regex=PROVIDER_NAME_PATTERN) & ~models.Q(name=TEST_PROVIDER),
                name="endpoint_name_plain",
                violation_error_message="exai is the hub's own test model; choose another name.",
            ),
            models.CheckConstraint(
                condition=models.Q(url="") | models.Q(url__regex=r"^https?://[^/@\s]+(/\S*)?$"),
                name="endpoint_url_plain",
            ),
            models.CheckConstraint(
                condition=models.Q(max_inflight__isnull=True) | models.Q(max_inflight__range=(1, 100_000)),
                name="endpoint_max_inflight_range",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def has_key(self) -> bool:
        return bool(self.sealed_key)
