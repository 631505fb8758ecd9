"""Somebody has to say yes before the work on a ticket goes on."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import User
from tickets.models.ticket import Ticket


class ApprovalState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    APPROVED = "approved", "Approved"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class TicketApproval(models.Model):
    """A question to one named person, to the leads of a tier (0: administrators), or to an address outside."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="approvals")
    question = models.TextField()
    of_user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="approvals_asked")
    of_level = models.PositiveSmallIntegerField(null=True, blank=True)
    of_email = models.EmailField(max_length=254, blank=True)
    state = models.CharField(max_length=10, choices=ApprovalState.choices, default=ApprovalState.WAITING)
    asked_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now)
    decided_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    decided_as = models.CharField(max_length=254, blank=True)  # the name or address that said so
    decided_at = models.DateTimeField(null=True, blank=True)
    comment = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(of_user__isnull=False, of_level=None, of_email="")
                | Q(of_user=None, of_level__in=[0, 1, 2, 3], of_email="")
                | (Q(of_user=None, of_level=None) & ~Q(of_email="")),
                name="approval_of_one",
            ),
            models.CheckConstraint(
                condition=Q(state="waiting", decided_at=None) | (~Q(state="waiting") & Q(decided_at__isnull=False)),
                name="approval_decided_at",
            ),
            models.CheckConstraint(
                condition=Q(decided_by=None) | Q(state="withdrawn") | ~Q(decided_by=models.F("asked_by")),
                name="approval_never_ones_own",
            ),
        ]
        indexes = [
            # What waits for somebody, and is:awaiting-approval.
            models.Index(fields=["ticket"], name="approval_waiting", condition=Q(state="waiting"))
        ]

    def __str__(self) -> str:
        return f"approval of {self.whom} on {self.ticket_id}"

    @property
    def whom(self) -> str:
        if self.of_level is not None:
            return f"the leads of tier {self.of_level}" if self.of_level else "the administrators"
        return self.of_email or str(self.of_user)
