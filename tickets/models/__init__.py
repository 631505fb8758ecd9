"""The tables of tickets, by noun."""

from tickets.models.approval import ApprovalState, TicketApproval
from tickets.models.event import TicketEvent
from tickets.models.field import CustomField, FieldKind
from tickets.models.imported import ImportedTicket
from tickets.models.job import Job, JobRow, JobState, RowOutcome
from tickets.models.mail import InboundEmail, Letter, Mailbox, OutboundEmail
from tickets.models.message import Attachment, Message, MessageKind, RemovedFile
from tickets.models.relations import (
    SEEN_FROM_TARGET,
    ChecklistItem,
    Handover,
    LinkKind,
    MergeRecord,
    TicketLink,
)
from tickets.models.retention import RetentionPolicy
from tickets.models.rule import Recurrence, Rule, RuleEvent, RuleOutcome, RuleRun, RuleSince
from tickets.models.sla import (
    BREACH,
    Clock,
    ClockEvent,
    ClockEventKind,
    ClockMilestone,
    SLAPause,
    SLAPolicy,
    SLARevision,
    SLATarget,
    SLATimer,
)
from tickets.models.text import TicketText
from tickets.models.ticket import (
    OPEN_STATUSES,
    TRANSITIONS,
    Category,
    Channel,
    Organization,
    Priority,
    Requester,
    Status,
    Ticket,
    Watcher,
)

__all__ = [
    "BREACH",
    "OPEN_STATUSES",
    "SEEN_FROM_TARGET",
    "TRANSITIONS",
    "ApprovalState",
    "Attachment",
    "Category",
    "Channel",
    "ChecklistItem",
    "Clock",
    "ClockEvent",
    "ClockEventKind",
    "ClockMilestone",
    "CustomField",
    "FieldKind",
    "Handover",
    "ImportedTicket",
    "InboundEmail",
    "Job",
    "JobRow",
    "JobState",
    "Letter",
    "LinkKind",
    "Mailbox",
    "MergeRecord",
    "Message",
    "MessageKind",
    "Organization",
    "OutboundEmail",
    "Priority",
    "Recurrence",
    "RemovedFile",
    "Requester",
    "RetentionPolicy",
    "RowOutcome",
    "Rule",
    "RuleEvent",
    "RuleOutcome",
    "RuleRun",
    "RuleSince",
    "SLAPause",
    "SLAPolicy",
    "SLARevision",
    "SLATarget",
    "SLATimer",
    "Status",
    "Ticket",
    "TicketApproval",
    "TicketEvent",
    "TicketLink",
    "TicketText",
    "Watcher",
]
