"""Who may use the hub: an agent, a script, a person's editor, known by its token."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

NAME_PATTERN = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
plain_name = RegexValidator(
    NAME_PATTERN, "Up to 64 lower-case letters, digits, dots, - and _; a letter or digit first."
)


class Scope(models.TextChoices):
    TOOLS = "tools"
    FILES = "files"
    MCP = "mcp"
    ADMIN = "admin"


class ToolProfile(models.TextChoices):
    LEAN = "lean"
    STANDARD = "standard"
    FULL = "full"


def default_scopes() -> list[str]:
    return [Scope.TOOLS.value, Scope.FILES.value]


class ApiClient(models.Model):
    """The owner of a token. What it may see and touch is its workspace's."""

    name = models.CharField(max_length=64, unique=True, validators=[plain_name])
    workspace = models.CharField(
        max_length=64,
        db_index=True,
        validators=[plain_name],
        help_text="Clients of one workspace share conversations and files.",
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    token_start = models.CharField(
        max_length=8, editable=False, help_text="First characters of the token, to recognise it by."
    )
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices), default=default_scopes)
    tool_profile = models.CharField(
        max_length=16,
        choices=ToolProfile.choices,
        default=ToolProfile.STANDARD,
        db_default=ToolProfile.STANDARD.value,
        help_text="The tools that it is shown and may call: lean: ten of them; standard: all but the vendors' own; "
        "full: all.",
    )
    tools_allowed = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        blank=True,
        help_text="Tools beside those of the profile, separated by commas.",
    )
    tools_denied = ArrayField(
        models.CharField(max_length=64),
        default=list,
        db_default=[],
        blank=True,
        help_text="Tools that it may not call, whatever allows them; separated by commas.",
    )
    enabled = models.BooleanField(default=True)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="The token is refused from then on.")
    max_inflight = models.PositiveIntegerField(
        "calls in flight", null=True, blank=True, help_text="Of all its sessions together; empty: no limit of its own."
    )
    session_max_inflight = models.PositiveIntegerField(
        "calls in flight a session", null=True, blank=True, help_text="Empty: as the settings say."
    )
    frame_rate = models.PositiveIntegerField(
        "frames a second", null=True, blank=True, help_text="Of each of its sessions; empty: as the settings say."
    )
    last_used_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "clients"
        ordering = ("name",)
        verbose_name = "client"
        constraints = (
            models.CheckConstraint(
                condition=models.Q(scopes__contained_by=Scope.values),
                name="client_scopes_known",
            ),
            models.CheckConstraint(
                condition=models.Q(tool_profile__in=ToolProfile.values), name="client_tool_profile_known"
            ),
        )

    def __str__(self) -> str:
        return self.name
