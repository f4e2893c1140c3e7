"""How much a client or a workspace may spend in a day or a month."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from exai.models.api_client import ApiClient, plain_name

MOST_TOKENS = 10**15
MOST_USD = 5_000_000  # billionths of it, and sums of them, are exact as floating-point numbers


class BudgetPeriod(models.TextChoices):
    """Days and months of UTC."""

    DAY = "day"
    MONTH = "month"

    def around(self, moment: datetime) -> tuple[datetime, datetime]:
        """The beginning of the period that has this moment in it, and that of the next."""
        begins = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is BudgetPeriod.DAY:
            return begins, begins + timedelta(days=1)
        begins = begins.replace(day=1)
        return begins, (begins + timedelta(days=31)).replace(day=1)


class BudgetUnit(models.TextChoices):
    TOKENS = "tokens", "tokens"
    USD = "usd", "US dollars"


class Budget(models.Model):
    """One limit. A subject without a row has none; the most that a call may come to must fit into all of its limits."""

    client = models.ForeignKey(
        ApiClient,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="budgets",
        help_text="For the calls of this client; or leave it empty and name a workspace.",
    )
    workspace = models.CharField(
        max_length=64, blank=True, validators=[plain_name], help_text="For the calls of all its clients together."
    )
    period = models.CharField(max_length=8, choices=BudgetPeriod.choices, help_text="Of UTC.")
    unit = models.CharField(
        max_length=8,
        choices=BudgetUnit.choices,
        help_text="Tokens are those of input and output. With a limit of money, models without a price are refused.",
    )
    amount = models.DecimalField(
        max_digits=22,
        decimal_places=6,
        validators=[MinValueValidator(Decimal(0))],
        help_text="0 allows nothing. To lift a limit, delete it.",
    )

    class Meta:
        db_table = "budgets"
        ordering = ("workspace", "client__name", "period", "unit")
        constraints = (
            models.CheckConstraint(
                condition=Q(client__isnull=False, workspace="") | (Q(client__isnull=True) & ~Q(workspace="")),
                name="budget_of_client_or_workspace",
                violation_error_message="Name either a client or a workspace.",
            ),
            models.UniqueConstraint(
                fields=["client", "period", "unit"],
                condition=Q(client__isnull=False),
                name="budget_once_a_client",
                violation_error_message="The client has such a budget already.",
            ),
            models.UniqueConstraint(
                fields=["workspace", "period", "unit"],
                condition=Q(client__isnull=True),
                name="budget_once_a_workspace",
                violation_error_message="The workspace has such a budget already.",
            ),
            models.CheckConstraint(condition=Q(period__in=BudgetPeriod.values), name="budget_period_known"),
            models.CheckConstraint(condition=Q(unit__in=BudgetUnit.values), name="budget_unit_known"),
            models.CheckConstraint(
                condition=Q(unit="tokens", amount__gte=0, amount__lte=MOST_TOKENS)
                | Q(unit="usd", amount__gte=0, amount__lte=MOST_USD),
                name="budget_amount_countable",
                violation_error_message=f"At most {MOST_USD:,} US dollars, or {MOST_TOKENS:,} tokens.",
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject}, {self.limit} a {self.period}"

    @property
    def subject(self) -> str:
        return f"client {self.client}" if self.client is not None else f"workspace {self.workspace}"

    @property
    def limit(self) -> str:
        return f"{self.amount:,.0f} tokens" if self.unit == BudgetUnit.TOKENS else f"${self.amount:,.2f}"

    def clean(self) -> None:
        if self.unit == BudgetUnit.TOKENS and self.amount is not None and self.amount % 1:
            raise ValidationError({"amount": "Tokens come in whole numbers."})
