"""Background work and what became of each ticket of it."""

from django.db.models import QuerySet

from staff.models import User
from tickets.models import Job, JobRow, RowOutcome, Ticket


def job_rows(user: User, job: Job, outcome: str = "") -> QuerySet[JobRow]:
    """Rows of a bulk change on tickets that the user may still see; `outcome` narrows them."""
    visible = Ticket.objects.visible_to(user).values("pk")
    rows = job.rows.filter(ticket__in=visible).select_related("ticket")
    return rows.filter(outcome=outcome) if outcome in RowOutcome.values else rows


def jobs_of(user: User) -> QuerySet[Job]:
    """Background work that somebody asked for; administrators see all."""
    jobs = Job.objects.select_related("by")
    return jobs if user.standing.is_administrator else jobs.filter(by=user)
