"""What was taken over from other systems, so that nothing is taken over twice."""

from django.db import models
from django.utils import timezone

from tickets.models.ticket import Ticket


class ImportedTicket(models.Model):
    """The ticket that an id of another system became; `source` is its name, such as `zammad`."""

    source = models.CharField(max_length=40)
    key = models.CharField(max_length=100)
    ticket = models.OneToOneField(Ticket, on_delete=models.CASCADE, related_name="imported")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="imported_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"
