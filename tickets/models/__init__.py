"""The tables of tickets, by noun."""

from tickets.models.mail import InboundEmail, Mailbox, OutboundEmail
from tickets.models.message import Attachment, Message, MessageKind
from tickets.models.sla import Clock, SLATimer
from tickets.models.ticket import (
    OPEN_STATUSES,
    TRANSITIONS,
    Category,
    Channel,
    LinkKind,
    Priority,
    Requester,
    Status,
    Ticket,
    TicketEvent,
    TicketLink,
    Watcher,
)

__all__ = [
    "OPEN_STATUSES",
    "TRANSITIONS",
    "Attachment",
    "Category",
    "Channel",
    "Clock",
    "InboundEmail",
    "LinkKind",
    "Mailbox",
    "Message",
    "MessageKind",
    "OutboundEmail",
    "Priority",
    "Requester",
    "SLATimer",
    "Status",
    "Ticket",
    "TicketEvent",
    "TicketLink",
    "Watcher",
]
