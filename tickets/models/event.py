"""The history of a ticket, and its words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from staff.models import User
from supportdesk import events, outbox
from tickets.models.rule import Rule
from tickets.models.ticket import Ticket

# The words of the timeline. {name}s come from the event's data.
SENTENCES = {
    "opened": "opened the ticket by {channel}",
    "taken": "took the ticket",
    "assigned": "assigned it to {to}",
    "unassigned": "removed the assignee",
    "status": "changed the status from {was} to {to}",
    "priority": "changed the priority from {was} to {to}",
    "category": "changed the category from {was} to {to}",
    "subject": "changed the subject from “{was}” to “{to}”",
    "escalated": "escalated from {was} to {to}",
    "reopened": "reopened the ticket",
    "resolved": "resolved the ticket",
    "closed": "closed the ticket",
    "waiting": "is waiting on the requester",
    "held": "put the ticket on hold",
    "restricted": "restricted the ticket to its assignee, watchers and leads",
    "unrestricted": "lifted the restriction",
    "replied": "replied",
    "noted": "added an internal note",
    "received": "wrote",
    "auto_reply": "sent an automatic reply, which moved nothing",
    "mail_capped": "wrote no automatic mail to {to}: there was too much of it",
    "perhaps": "noticed that this perhaps belongs to {other}",
    "forwarded": "forwarded the mail of {of}",
    "mail_rule_failed": "could not do what a rule on mail says: {reason}",
    "mail_read_again": "had the mail read again that could not be read",
    "mail_looked_at": "looked at the mail that could not be read",
    "reply_refused": "wrote by mail, which was kept as a note: {reason}",
    "folded": "sent alike mail, which was folded into this ticket",
    "spam": "called it spam: {reason}",
    "not_spam": "said that it is no spam",
    "sent_again": "sent the mail to {to} again",
    "rated": "rated it: {score}. {comment}",
    "bounced": "reported that mail to {to} could not be delivered",
    "delivery_failed": "could not send the mail to {to}: {error}",
    "tagged": "changed the tags from {was} to {to}",
    "breached": "noticed that {clock} was due at {due} and is breached",
    "breach_raised": "raised the priority from {was} to {to}, because {clock} is breached",
    "breach_escalated": "escalated from {was} to {to}, because {clock} is breached",
    "merged": "merged this ticket into {into}",
    "merged_in": "merged ticket {source} into this one",
    "unmerged": "took back the merge into {into}",
    "unmerged_from": "took back the merge of ticket {source}",
    "split_from": "split this off ticket {of}",
    "split": "split a message off as ticket {to}",
    "handed_back": "handed back from {was} to {to}",
    "follow_up": "opened this as a follow-up of {of}",
    "followed_up": "opened a follow-up: {follow_up}",
    "logged": "wrote this down from a {channel} contact of {length}",
    "approval_asked": "asked {whom} to approve: {question}",
    "approved": "approved: {question} {comment}",
    "refused": "refused: {question} {comment}",
    "approval_withdrawn": "withdrew the question to {whom}: {question}",
    "erased": "erased the personal data",
    "imported": "took the ticket over from {source}, where it was {key}",
    "undone": "took a change back: {what}",
    "linked": "linked it: {relation} {other}",
    "unlinked": "removed the link: {relation} {other}",
    "deadline": "set the deadline to {to}",
    "no_deadline": "removed the deadline",
    "deadline_passed": "noticed that the deadline of {due} has passed",
    "snoozed": "snoozed the ticket until {until}",
    "woke": "brought the ticket back from its snooze",
    "cc": "changed the copies from {was} to {to}",
    "field": "changed {field} from {was} to {to}",
    "step_added": "added to the checklist: {text}",
    "step_done": "ticked off: {text}",
    "step_undone": "opened again: {text}",
    "step_removed": "removed from the checklist: {text}",
    "run_started": "started the runbook {title} (run {run})",
    "run_finished": "saw run {run} of {title} end: {state}. {summary}",
}


# Kinds that reports count.
REPORTED = (
    "opened", "split_from", "reopened", "resolved", "merged", "spam", "unmerged", "imported", "undone", "escalated", "handed_back",
    "breach_escalated",
)  # fmt: skip


class TicketEvent(models.Model):
    """The ticket's history, append-only. `version` is the ticket's after the event."""

    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=24)
    actor = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    actor_name = models.CharField(max_length=200)
    data = models.JSONField(default=dict)
    version = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        # The timeline of one ticket, in order.
        indexes = [
            models.Index(fields=["ticket", "id"], name="event_timeline"),
            # Reports: what opens and ends tickets, and moves them between tiers.
            models.Index(fields=["at", "kind"], name="event_reported", condition=Q(kind__in=REPORTED)),
        ]

    def __str__(self) -> str:
        return self.sentence

    @property
    def words(self) -> str:
        """What happened, without who."""
        return SENTENCES.get(self.kind, self.kind).format_map(_Blank(self.data))

    @property
    def sentence(self) -> str:
        return f"{self.actor_name} {self.words}"

    @classmethod
    def record(cls, ticket: Ticket, by: Any, kind: str, *, at: datetime | None = None, **data: Any) -> "TicketEvent":
        """Append an event in the open transaction, tell open browsers, and ring for the rules that listen.

        `by` is a User, Requester, or a name. What rules and policies do themselves (`is_automation`) no rule hears.
        """
        event = cls.objects.create(
            ticket=ticket,
            kind=kind,
            actor=by if isinstance(by, User) else None,
            actor_name=str(by)[:200],
            data=data,
            version=ticket.version,
            at=at or timezone.now(),
        )
        known = {} if ticket.restricted else {"number": ticket.number}
        news = {"kind": kind, "cursor": event.pk}
        events.publish_all((f"ticket.{ticket.number}", news), ("queue", news | known))
        if not (isinstance(by, User) and by.is_automation):
            cls.let_rules_hear([event])
        return event

    @classmethod
    def let_rules_hear(cls, made: Sequence["TicketEvent"]) -> None:
        """Queue events for the rules that listen to their kinds, in the open transaction."""
        for kind in {event.kind for event in made}:
            if Rule.objects.filter(active=True, events__contains=[kind]).exists():
                for event in made:
                    if event.kind == kind:
                        outbox.put("tickets.rules", event.pk, key=f"rules:{event.pk}")


class _Blank(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"
