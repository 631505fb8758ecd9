"""Every write to a ticket, by theme."""

from tickets.actions.approvals import ask_approval, decide_approval, decide_by_link, withdraw_approval
from tickets.actions.assignment import set_away
from tickets.actions.bulk import start as start_bulk
from tickets.actions.bulk import stop as stop_bulk
from tickets.actions.bulk import undo as undo_bulk
from tickets.actions.conversation import keep_note, log_contact, note, receive, reply
from tickets.actions.erasure import erase_requester, save_retention, sweep_retention
from tickets.actions.exports import export_requester
from tickets.actions.fields import save_field, set_custom
from tickets.actions.imports import import_tickets
from tickets.actions.joining import merge, split, unmerge
from tickets.actions.life import (
    close,
    hold,
    mark_not_spam,
    mark_spam,
    open_ticket,
    reopen,
    resolve,
    wait_on_requester,
)
from tickets.actions.links import link, unlink
from tickets.actions.organizations import save_organization
from tickets.actions.planning import add_step, remove_step, set_deadline, snooze, sweep_moments, tick_step
from tickets.actions.promises import (
    delete_policy,
    load_promises,
    preview_policy,
    save_calendar,
    save_pauses,
    save_policy,
)
from tickets.actions.properties import (
    assign,
    escalate,
    hand_over,
    set_category,
    set_cc,
    set_priority,
    set_restricted,
    set_status,
    set_subject,
    set_tags,
    take,
    take_next,
    unwatch,
    update,
    watch,
)
from tickets.actions.recurrences import delete_recurrence, save_recurrence, sweep_recurrences
from tickets.actions.rules import delete_rule, load_rules, save_rule, sweep_rules, switch_rule
from tickets.actions.runs import record_run_finished, record_run_started
from tickets.actions.setup import load_categories, load_mailboxes, save_category, save_tier
from tickets.actions.sweeps import sweep_sla

__all__ = [
    "add_step",
    "ask_approval",
    "assign",
    "close",
    "decide_approval",
    "decide_by_link",
    "delete_policy",
    "delete_recurrence",
    "delete_rule",
    "erase_requester",
    "escalate",
    "export_requester",
    "hand_over",
    "hold",
    "import_tickets",
    "keep_note",
    "link",
    "load_categories",
    "load_mailboxes",
    "load_promises",
    "load_rules",
    "log_contact",
    "mark_not_spam",
    "mark_spam",
    "merge",
    "note",
    "open_ticket",
    "preview_policy",
    "receive",
    "record_run_finished",
    "record_run_started",
    "remove_step",
    "reopen",
    "reply",
    "resolve",
    "save_calendar",
    "save_category",
    "save_field",
    "save_organization",
    "save_pauses",
    "save_policy",
    "save_recurrence",
    "save_retention",
    "save_rule",
    "save_tier",
    "set_away",
    "set_category",
    "set_cc",
    "set_custom",
    "set_deadline",
    "set_priority",
    "set_restricted",
    "set_status",
    "set_subject",
    "set_tags",
    "snooze",
    "split",
    "start_bulk",
    "stop_bulk",
    "sweep_moments",
    "sweep_recurrences",
    "sweep_retention",
    "sweep_rules",
    "sweep_sla",
    "switch_rule",
    "take",
    "take_next",
    "tick_step",
    "undo_bulk",
    "unlink",
    "unmerge",
    "unwatch",
    "update",
    "wait_on_requester",
    "watch",
    "withdraw_approval",
]
