"""Which state of the provider tables there is: one row, changed by triggers whenever one of them is."""

from django.db import models


class ProviderRevision(models.Model):
    """`revision` is the id of the transaction that changed them last: no two states have the same."""

    revision = models.BigIntegerField()

    class Meta:
        db_table = "provider_revision"
        constraints = (models.CheckConstraint(condition=models.Q(id=1), name="provider_revision_is_one_row"),)
