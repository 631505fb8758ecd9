"""Every write to a ticket, by theme."""

from tickets.actions.conversation import note, receive, reply
from tickets.actions.life import close, hold, open_ticket, reopen, resolve, wait_on_requester
from tickets.actions.properties import (
    assign,
    escalate,
    set_category,
    set_priority,
    set_restricted,
    set_status,
    set_subject,
    take,
    unwatch,
    update,
    watch,
)
from tickets.actions.runs import record_run_finished, record_run_started
from tickets.actions.setup import load_categories, load_mailboxes
from tickets.actions.sweeps import sweep_sla

__all__ = [
    "assign",
    "close",
    "escalate",
    "hold",
    "load_categories",
    "load_mailboxes",
    "note",
    "open_ticket",
    "receive",
    "record_run_finished",
    "record_run_started",
    "reopen",
    "reply",
    "resolve",
    "set_category",
    "set_priority",
    "set_restricted",
    "set_status",
    "set_subject",
    "sweep_sla",
    "take",
    "unwatch",
    "update",
    "wait_on_requester",
    "watch",
]
