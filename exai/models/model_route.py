"""A route: the models that serve a kind of call, by preference."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from exai.models.provider_model import LONGEST_MODEL_ID


class RouteName(models.TextChoices):
    FAST = "fast", "fast: chat and middle steps"
    DEEP = "deep", "deep: what is worth thinking about"
    LONG = "long", "long: more context than most models take"
    VISION = "vision", "vision: questions with images"


class ModelRoute(models.Model):
    """A row wins over the built-in route of its name."""

    name = models.CharField(max_length=16, unique=True, choices=RouteName.choices)
    model_names = ArrayField(
        models.CharField(max_length=LONGEST_MODEL_ID),
        verbose_name="models",
        help_text="By preference, separated by commas: id, alias, or endpoint/model. The first that is "
        "configured and healthy serves.",
    )

    class Meta:
        db_table = "model_routes"
        ordering = ("name",)
        verbose_name = "route"
        constraints = (
            models.CheckConstraint(condition=models.Q(name__in=RouteName.values), name="route_name_known"),
            models.CheckConstraint(condition=models.Q(model_names__len__gt=0), name="route_has_models"),
        )

    def __str__(self) -> str:
        return self.name
