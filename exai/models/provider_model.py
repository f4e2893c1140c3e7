"""What an operator says of a model: one more than the catalogue has, or another view of one that it has."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from exai.models.provider_endpoint import PROVIDER_NAME_PATTERN, provider_name

LONGEST_MODEL_ID = 200
LARGEST_CONTEXT = 100_000_000


class ProviderModel(models.Model):
    """What is left empty stays as the catalogue says. `provider` is the name of an endpoint, which may have no row."""

    provider = models.CharField("endpoint", max_length=40, validators=[provider_name])
    model_id = models.CharField("model", max_length=LONGEST_MODEL_ID, help_text="As the vendor names it.")
    enabled = models.BooleanField(default=True, help_text="Off: it is offered to nobody.")
    context = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(256), MaxValueValidator(LARGEST_CONTEXT)],
        help_text="Tokens. Empty: as the catalogue says, else as its endpoint says, else 8192.",
    )
    output = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LARGEST_CONTEXT)],
        help_text="Most tokens of an answer. Empty: as the catalogue says, else unknown.",
    )
    vision = models.BooleanField(null=True, blank=True)
    thinking = models.BooleanField(null=True, blank=True)
    tools = models.BooleanField(null=True, blank=True)
    web_search = models.BooleanField(null=True, blank=True)
    aliases = ArrayField(
        models.CharField(max_length=LONGEST_MODEL_ID),
        null=True,
        blank=True,
        help_text="More names, separated by commas. Empty: as the catalogue says.",
    )

    class Meta:
        db_table = "provider_models"
        ordering = ("provider", "model_id")
        verbose_name = "model"
        constraints = (
            models.UniqueConstraint(fields=["provider", "model_id"], name="provider_model_once"),
            models.CheckConstraint(
                condition=models.Q(provider__regex=PROVIDER_NAME_PATTERN) & ~models.Q(model_id=""),
                name="provider_model_named",
            ),
            models.CheckConstraint(
                condition=models.Q(context__isnull=True) | models.Q(context__range=(256, LARGEST_CONTEXT)),
                name="provider_model_context_range",
            ),
            models.CheckConstraint(
                condition=models.Q(output__isnull=True) | models.Q(output__range=(1, LARGEST_CONTEXT)),
                name="provider_model_output_range",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider}/{self.model_id}"
