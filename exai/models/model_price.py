"""What a model costs from some moment on. A new price is a new row, so that calls keep the one they were paid by."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from exai.models.provider_endpoint import PROVIDER_NAME_PATTERN, provider_name
from exai.models.provider_model import LONGEST_MODEL_ID

_HIGHEST = Decimal(1_000_000)
_bounds = [MinValueValidator(Decimal(0)), MaxValueValidator(_HIGHEST)]


def _dollars(**options: object) -> "models.DecimalField[Decimal, Decimal]":
    return models.DecimalField(max_digits=14, decimal_places=6, validators=_bounds, **options)  # type: ignore[arg-type]


class ModelPrice(models.Model):
    """US dollars per million tokens. Wins over the catalogue's price for calls that began at `effective_from` or later;
    the newest of those wins."""

    provider = models.CharField("endpoint", max_length=40, validators=[provider_name])
    model_id = models.CharField("model", max_length=LONGEST_MODEL_ID)
    version = models.CharField(max_length=64, help_text="Names this price in the records of calls, such as 2026-11.")
    effective_from = models.DateTimeField(default=timezone.now, help_text="Calls that begin then or later cost this.")
    input = _dollars(help_text="Per million tokens of input; 0 is free.")
    cached = _dollars(null=True, blank=True, help_text="Per million tokens of cached input; empty: as other input.")
    output = _dollars(help_text="Per million tokens of output, reasoning included; 0 is free.")

    class Meta:
        db_table = "model_prices"
        ordering = ("provider", "model_id", "-effective_from")
        verbose_name = "price"
        constraints = (
            models.UniqueConstraint(
                fields=["provider", "model_id", "effective_from"], name="model_price_one_at_a_time"
            ),
            models.UniqueConstraint(fields=["provider", "model_id", "version"], name="model_price_version_once"),
            models.CheckConstraint(
                condition=models.Q(provider__regex=PROVIDER_NAME_PATTERN)
                & ~models.Q(model_id="")
                & ~models.Q(version=""),
                name="model_price_named",
            ),
            models.CheckConstraint(
                condition=models.Q(input__range=(0, _HIGHEST))
                & models.Q(output__range=(0, _HIGHEST))
                & (models.Q(cached__isnull=True) | models.Q(cached__range=(0, _HIGHEST))),
                name="model_price_range",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider}/{self.model_id} {self.version}"
