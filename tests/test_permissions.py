"""*Who may do what*, as the architecture's table says it: every address and method for every role.

An address that is not in the tables below fails the first test, so that a new one cannot be forgotten.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from knowledge.models import Article
from runbooks import actions as run_actions
from runbooks.models import Execution, RunState
from staff.actions import create_token
from staff.models import TokenScope, User
from tests.factories import UserFactory, agent, lead, ticket
from tests.runbooks.make import runbook, shell
from tickets import actions
from tickets.models import (
    Attachment,
    Category,
    CustomField,
    Job,
    Organization,
    OutboundEmail,
    Recurrence,
    RetentionPolicy,
    Rule,
    SLAPolicy,
    Ticket,
    TicketLink,
)
from tickets.sla import rules

ROLES = ("nobody", "tierless", "tier1", "tier2", "tier3", "lead", "administrator", "auditor", "integration")
READERS = {"tier1", "tier2", "tier3", "lead", "administrator", "auditor", "integration"}
NOTERS = READERS - {"auditor"}
TIER2 = {"tier2", "tier3", "lead", "administrator"}
TIER3 = {"tier3", "lead", "administrator"}
SETTINGS = {"lead", "administrator", "auditor"}
MAKERS = {"lead", "administrator"}
TIERED = {"tier1", "tier2", "tier3", "lead", "administrator"}
SIGNED_IN = set(ROLES) - {"nobody"}
RESTRICTED = {"lead", "administrator", "auditor"}

SCHEDULE = {"runbook": "reads-only", "targets": ["box"], "cron": "0 9 * * 1"}

# name: (path, who may GET, {POST data}, who may POST). The ticket is with tier 2, the lead leads tiers 1 and 2.
PAGES: dict[str, tuple[str, set[str], dict[str, str], set[str]]] = {
    "tickets:queue": ("/tickets/", set(ROLES) - {"nobody"}, {}, set()),
    "tickets:rows": ("/tickets/rows/", set(ROLES) - {"nobody"}, {}, set()),
    "tickets:new": (
        "/tickets/new/",
        NOTERS,
        {
            "requester_email": "a@b.example",
            "subject": "s",
            "text": "t",
            "tier": "1",
            "priority": "normal",
            "channel": "phone",
        },
        NOTERS,
    ),
    "tickets:intake": (
        "/tickets/intake/",
        NOTERS,
        {
            "requester_email": "a@b.example",
            "subject": "s",
            "text": "t",
            "tier": "1",
            "priority": "normal",
            "channel": "phone",
        },
        NOTERS,
    ),
    "tickets:intake on a ticket": (
        "/tickets/intake/",
        NOTERS,
        {
            "requester_email": "a@b.example",
            "text": "t",
            "tier": "1",
            "priority": "normal",
            "channel": "phone",
            "number": "{ticket}",
        },
        NOTERS,
    ),
    "tickets:requester": ("/tickets/intake/requester/?requester_email=a@b.example", NOTERS, {}, set()),
    "tickets:detail": ("/tickets/{ticket}/", READERS, {}, set()),
    "tickets:clocks": ("/tickets/{ticket}/clocks/", READERS, {}, set()),
    "tickets:changes": ("/tickets/{ticket}/changes/", READERS, {}, set()),
    "tickets:say": ("/tickets/{ticket}/say/", set(), {"kind": "reply", "text": "Hello"}, TIER2 | {"integration"}),
    "tickets:say as note": ("/tickets/{ticket}/say/", set(), {"kind": "note", "text": "Hello"}, NOTERS),
    "tickets:say and resolve": (
        "/tickets/{ticket}/say/",
        set(),
        {"kind": "reply", "text": "x", "then": "resolved"},
        TIER2,
    ),
    "tickets:take": ("/tickets/{ticket}/take/", set(), {}, TIER2),
    "tickets:assign": ("/tickets/{ticket}/assign/", set(), {"assignee": ""}, TIER2),
    "tickets:priority": ("/tickets/{ticket}/priority/", set(), {"priority": "high"}, TIER2),
    "tickets:status": ("/tickets/{ticket}/status/", set(), {"status": "on_hold"}, TIER2),
    "tickets:category": ("/tickets/{ticket}/category/", set(), {"category": "database"}, TIER2),
    "tickets:subject": ("/tickets/{ticket}/subject/", set(), {"subject": "Other"}, TIER2),
    "tickets:restrict": ("/tickets/{ticket}/restrict/", set(), {"restricted": "yes"}, {"lead", "administrator"}),
    "tickets:escalate": ("/tickets/{ticket}/escalate/", set(), {"handover": "Tried."}, TIER2),
    "tickets:watch": ("/tickets/{ticket}/watch/", set(), {"watch": "yes"}, NOTERS),
    "tickets:attachment": ("/tickets/{ticket}/files/{file}/", READERS - {"integration"}, {}, set()),
    "tickets:raw_mail": ("/tickets/{ticket}/mail/{mail}/", READERS, {}, set()),
    "tickets:inline": ("/tickets/{ticket}/inline/{picture}/", READERS, {}, set()),
    "tickets:mail_details": ("/tickets/{ticket}/mail/{mail}/details/", READERS, {}, set()),
    "tickets:remote_pictures": ("/tickets/{ticket}/mail/{mail}/pictures/", READERS, {}, set()),
    "tickets:send_again": ("/tickets/{ticket}/mail/{mail}/again/", set(), {}, TIER2 | {"integration"}),
    "tickets:take_next": ("/tickets/take-next/", set(), {}, TIER2 | {"tier1"}),
    "tickets:merge": ("/tickets/{ticket}/merge/", set(), {"into": "{other}"}, TIER2),
    "tickets:unmerge": ("/tickets/{ticket}/unmerge/", set(), {}, TIER2),
    "tickets:split": ("/tickets/{ticket}/split/", set(), {"message": "{mail}"}, TIER2),
    "tickets:tags": ("/tickets/{ticket}/tags/", set(), {"tags": "vip"}, TIER2),
    "tickets:cc": ("/tickets/{ticket}/cc/", set(), {"cc": "c@b.example"}, TIER2),
    "tickets:custom": ("/tickets/{ticket}/custom/", set(), {"custom-order": "4711"}, TIER2),
    "tickets:deadline": ("/tickets/{ticket}/deadline/", set(), {"deadline_at": "2030-01-01T09:00"}, TIER2),
    "tickets:snooze": ("/tickets/{ticket}/snooze/", set(), {"until": "1h"}, TIER2),
    "tickets:link": ("/tickets/{ticket}/link/", set(), {"to": "{other}", "relation": "related"}, TIER2),
    "tickets:unlink": ("/tickets/{ticket}/unlink/", set(), {"link": "{link}"}, TIER2),
    "tickets:ask": ("/tickets/{ticket}/ask/", set(), {"question": "May I?", "role": "0"}, TIER2),
    "tickets:withdraw": ("/tickets/{ticket}/withdraw/", set(), {"approval": "{approval}"}, TIER2),
    "tickets:approvals": ("/approvals/", set(ROLES) - {"nobody"}, {}, set()),
    "tickets:decide": ("/approvals/{approval}/", set(), {"answer": "yes"}, {"lead"}),
    "tickets:checklist": ("/tickets/{ticket}/checklist/", set(), {"text": "Call back"}, TIER2),
    "tickets:promises": ("/settings/promises/", SETTINGS, {}, set()),
    "tickets:pauses": ("/settings/promises/pauses/", set(), {"on_hold-resolution": "1"}, {"administrator"}),
    "tickets:new_policy": ("/settings/promises/policies/new/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:policy": ("/settings/promises/policies/{policy}/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:delete_policy": ("/settings/promises/policies/9999/delete/", set(), {}, {"administrator"}),
    "tickets:new_calendar": (
        "/settings/calendars/new/",
        SETTINGS,
        {"slug": "x", "name": "x", "zone": "UTC", "always": "yes"},
        {"administrator"},
    ),
    "tickets:calendar": (
        "/settings/calendars/business-hours/",
        SETTINGS,
        {"name": "x", "zone": "UTC", "always": "yes"},
        {"administrator"},
    ),
    "tickets:rules": ("/settings/rules/", SETTINGS, {}, set()),
    "tickets:new_rule": ("/settings/rules/new/", SETTINGS, {"name": "x"}, MAKERS),
    "tickets:rule": ("/settings/rules/{rule}/", SETTINGS, {"name": "x"}, MAKERS),
    "tickets:switch_rule": ("/settings/rules/{rule}/switch/", set(), {"active": "yes"}, MAKERS),
    "tickets:delete_rule": ("/settings/rules/{rule}/delete/", set(), {}, MAKERS),
    "tickets:recurring": ("/settings/recurring/", SETTINGS, {}, set()),
    "tickets:new_recurrence": ("/settings/recurring/new/", SETTINGS, {"name": "x"}, MAKERS),
    "tickets:recurrence": ("/settings/recurring/{recurrence}/", SETTINGS, {"name": "x"}, MAKERS),
    "tickets:delete_recurrence": ("/settings/recurring/{recurrence}/delete/", set(), {}, MAKERS),
    "tickets:requesters": ("/requesters/", set(ROLES) - {"nobody"}, {}, set()),
    "tickets:requester_page": ("/requesters/{requester}/", READERS, {}, set()),
    "tickets:export": ("/requesters/{requester}/export/", set(), {}, {"administrator"}),
    "tickets:erase": ("/requesters/{requester}/erase/", {"administrator"}, {"address": "x"}, {"administrator"}),
    "tickets:organizations": ("/organizations/", set(ROLES) - {"nobody"}, {}, set()),
    "tickets:organization": ("/organizations/{organization}/", READERS, {"name": "x"}, {"administrator"}),
    "tickets:new_organization": ("/organizations/new/", set(ROLES) - {"nobody"}, {"name": "x"}, {"administrator"}),
    "tickets:directory": ("/settings/tickets/", SETTINGS, {}, set()),
    "tickets:new_category": ("/settings/categories/new/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:edit_category": ("/settings/categories/{category}/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:new_field": ("/settings/fields/new/", SETTINGS, {"label": "x"}, {"administrator"}),
    "tickets:edit_field": ("/settings/fields/order/", SETTINGS, {"label": "x"}, {"administrator"}),
    "tickets:new_retention": ("/settings/retention/new/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:retention": ("/settings/retention/{retention}/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:team": ("/team/", set(ROLES) - {"nobody"}, {}, set()),
    "tickets:away": (
        "/team/away/",
        set(),
        {"person": "{agent}", "until": ""},
        {"lead", "administrator", "tier2"},
    ),
    "tickets:bulk": (
        "/tickets/bulk/?numbers={ticket}",
        NOTERS - {"integration"},
        {"numbers": "{ticket}", "priority": "high"},
        NOTERS - {"integration"},
    ),
    "tickets:stop_job": ("/jobs/{bulk}/stop/", set(), {}, {"administrator"}),
    "tickets:undo_job": ("/jobs/{bulk}/undo/", set(), {}, {"administrator"}),
    "tickets:job": ("/jobs/{job}/", SETTINGS, {}, set()),
    "tickets:job in bulk": ("/jobs/{bulk}/", {"administrator"}, {}, set()),
    "notifications": ("/notifications/", set(ROLES) - {"nobody"}, {}, set()),
    "read_all": ("/notifications/read/", set(), {}, set(ROLES) - {"nobody"}),
    "mails_wanted": ("/notifications/mail/", set(), {}, set(ROLES) - {"nobody"}),
    "audit": ("/audit/", SETTINGS, {}, set()),
    "runbooks:pick": ("/runs/pick/{ticket}/", READERS, {}, set()),
    "tickets:outgoing": ("/mail/outgoing/", {"administrator"}, {}, set()),
    "tickets:spam": ("/tickets/{ticket}/spam/", set(), {"spam": "yes"}, TIER2),
    "tickets:attention": ("/mail/attention/", MAKERS, {}, set()),
    "tickets:retry_mail": ("/mail/attention/{unread}/retry/", set(), {}, MAKERS),
    "tickets:dismiss_mail": ("/mail/attention/{unread}/dismiss/", set(), {}, MAKERS),
    "tickets:raw_waiting": ("/mail/attention/{unread}/raw/", MAKERS, {}, set()),
    "tickets:upload_mail": ("/mail/upload/", NOTERS, {"mailbox": "{mailbox}"}, NOTERS),
    "tickets:mailboxes": ("/settings/mail/", SETTINGS, {}, set()),
    "tickets:new_mailbox": ("/settings/mail/new/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:mailbox": ("/settings/mail/{mailbox}/", SETTINGS, {"name": "x"}, {"administrator"}),
    "tickets:fetched": ("/settings/mail/{mailbox}/imap/", SETTINGS, {"host": "x"}, {"administrator"}),
    "tickets:try_fetching": ("/settings/mail/{mailbox}/imap/test/", set(), {}, {"administrator"}),
    "tickets:mail_templates": ("/settings/mail/templates/", SETTINGS, {}, set()),
    "tickets:mail_template": ("/settings/mail/templates/received/", SETTINGS, {"text": "x"}, MAKERS),
    "tickets:mail_rules": ("/settings/mail/rules/", SETTINGS, {}, set()),
    "tickets:new_mail_rule": ("/settings/mail/rules/new/", SETTINGS, {"name": "x"}, MAKERS),
    "tickets:mail_rule": ("/settings/mail/rules/{mail_rule}/", SETTINGS, {"name": "x"}, MAKERS),
    "tickets:delete_mail_rule": ("/settings/mail/rules/{mail_rule}/delete/", set(), {}, MAKERS),
    "runbooks:index": ("/runbooks/", set(ROLES) - {"nobody"}, {}, set()),
    "runbooks:launch": ("/runbooks/changes-things/", set(ROLES) - {"nobody"}, {"target": "box"}, TIER2),
    "runbooks:launch reading": (
        "/runbooks/reads-only/",
        set(ROLES) - {"nobody"},
        {"target": "box"},
        NOTERS - {"integration"},
    ),
    "runbooks:launch destroying": ("/runbooks/destroys/", set(ROLES) - {"nobody"}, {"target": "box"}, TIER3),
    "runbooks:runs": ("/runs/", set(ROLES) - {"nobody"}, {}, set()),
    "runbooks:run": ("/runs/{run}/", READERS, {}, set()),
    "runbooks:output": ("/runs/{run}/output/", READERS, {}, set()),
    "runbooks:output_text": ("/runs/{run}/output.txt", READERS, {}, set()),
    "runbooks:act cancel": ("/runs/{run}/cancel/", set(), {}, TIER2),
    "runbooks:act pause": ("/runs/{run}/pause/", set(), {}, TIER2),
    "runbooks:act go-on": ("/runs/{run}/go-on/", set(), {}, TIER2),
    "runbooks:act retry": ("/runs/{run}/retry/", set(), {}, TIER2),
    "runbooks:act stop-batch": ("/runs/{run}/stop-batch/", set(), {}, TIER2),
    "runbooks:answer": ("/runs/{run}/answer/", set(), {"step": "work", "answer": "done"}, TIER2),
    "runbooks:decide": ("/runs/{asking}/decide/", set(), {"answer": "yes"}, MAKERS),
    "runbooks:find": ("/runs/{run}/find/?q=x", READERS, {}, set()),
    "runbooks:compare": ("/runs/{run}/compare/{lost}/", READERS, {}, set()),
    "runbooks:compare_with": ("/runs/{run}/compare/?other={lost}", READERS, {}, set()),
    "runbooks:charts": ("/runs/charts/", SIGNED_IN, {}, set()),
    "runbooks:export": ("/runs/export.csv", SIGNED_IN, {}, set()),
    "runbooks:approvals": ("/runs/approvals/", SIGNED_IN, {}, set()),
    "runbooks:fleet": ("/runs/fleet/", SIGNED_IN, {}, set()),
    "runbooks:new": ("/runbooks/new/", TIERED, {"text": "x"}, TIERED),
    "runbooks:check": ("/runbooks/check/", set(), {"text": "x"}, TIERED),
    "runbooks:draft": ("/runbooks/drafts/{draft}/", TIERED, {"text": "x"}, TIERED),
    "runbooks:review": ("/runbooks/drafts/{draft}/review/", set(), {"answer": "publish"}, MAKERS),
    "runbooks:edit": ("/runbooks/reads-only/edit/", TIERED, {"text": "x"}, TIERED),
    "runbooks:versions": ("/runbooks/reads-only/versions/", SIGNED_IN, {}, set()),
    "runbooks:choices": ("/runbooks/reads-only/choices/", TIERED, {}, set()),
    "runbooks:favourite": ("/runbooks/reads-only/favourite/", set(), {"favourite": "yes"}, SIGNED_IN),
    "runbooks:retire": ("/runbooks/reads-only/retire/", set(), {"retired": "no"}, MAKERS),
    "runbooks:targets": ("/targets/", SIGNED_IN, {}, set()),
    "runbooks:target": ("/targets/box/", SIGNED_IN, {"name": "Box", "run_level": "1"}, {"administrator"}),
    "runbooks:new_target": ("/targets/new/", {"administrator"}, {"slug": "x", "name": "X"}, {"administrator"}),
    "runbooks:secret": ("/targets/box/secret/", set(), {"name": "n", "value": "v"}, {"administrator"}),
    "runbooks:retire_target": ("/targets/box/retire/", set(), {"retired": "no"}, {"administrator"}),
    "runbooks:test": ("/targets/box/test/paths/", set(), {}, {"administrator"}),
    "runbooks:thresholds": ("/thresholds/", SIGNED_IN, {}, set()),
    "runbooks:schedules": ("/schedules/", SIGNED_IN, {}, set()),
    "runbooks:calendar": ("/schedules/calendar/", SIGNED_IN, {}, set()),
    "runbooks:new_schedule": ("/schedules/new/", MAKERS, {"runbook": "reads-only"}, MAKERS),
    "runbooks:preview": ("/schedules/preview/", MAKERS, {}, set()),
    "runbooks:schedule": ("/schedules/{schedule}/", MAKERS, {"name": "x"}, MAKERS),
    "runbooks:schedule_act pause": ("/schedules/{schedule}/pause/", set(), {}, MAKERS),
    "runbooks:schedule_act go-on": ("/schedules/{schedule}/go-on/", set(), {}, MAKERS),
    "runbooks:schedule_act run-now": ("/schedules/{schedule}/run-now/", set(), {}, TIERED),
    "runbooks:schedule_act delete": ("/schedules/{schedule}/delete/", set(), {}, MAKERS),
    "runbooks:resume": ("/runs/{lost}/resume/", set(), {}, TIER2),
    "runbooks:act give-up": ("/runs/{lost}/give-up/", set(), {}, TIER2),
    "runbooks:for_ticket": ("/runs/for-ticket/{ticket}/", READERS, {}, set()),
    "knowledge:search": ("/knowledge/", set(ROLES) - {"nobody"}, {}, set()),
    "knowledge:for_ticket": ("/knowledge/for-ticket/{ticket}/", READERS, {}, set()),
    "knowledge:article": ("/knowledge/users-cannot-log-in/", READERS, {}, set()),
}
RECURRING = {
    "name": "y", "cron": "0 9 * * mon", "requester_email": "a@b.example", "subject": "s", "text": "t", "tier": 2,
}  # fmt: skip
# name: (path, method, body, who may with a token of all scopes, the scope without which nobody may)
API: dict[str, tuple[str, str, dict[str, Any] | None, set[str], str]] = {
    "ticket-list GET": ("tickets/", "get", None, READERS, "read"),
    "ticket-list POST": (
        "tickets/",
        "post",
        {"requester_email": "a@b.example", "subject": "s", "text": "t"},
        NOTERS,
        "tickets",
    ),
    "ticket-detail GET": ("tickets/{ticket}/", "get", None, READERS, "read"),
    "ticket-detail PATCH": ("tickets/{ticket}/", "patch", {"priority": "high"}, TIER2, "tickets"),
    "ticket-detail PATCH restricted": (
        "tickets/{ticket}/",
        "patch",
        {"restricted": True},
        {"lead", "administrator"},
        "tickets",
    ),
    "ticket-clocks GET": ("tickets/{ticket}/clocks/", "get", None, READERS, "read"),
    "ticket-take-next POST": ("tickets/take-next/", "post", {}, TIER2 | {"tier1"}, "tickets"),
    "organization-list GET": ("organizations/", "get", None, READERS, "read"),
    "organization-list POST": (
        "organizations/",
        "post",
        {"name": "X", "domains": ["x.example"]},
        {"administrator"},
        "tickets",
    ),
    "organization-detail GET": ("organizations/{organization}/", "get", None, READERS, "read"),
    "organization-detail PATCH": (
        "organizations/{organization}/",
        "patch",
        {"name": "Y"},
        {"administrator"},
        "tickets",
    ),
    "ticket-merge POST": ("tickets/{ticket}/merge/", "post", {"into": "{other}"}, TIER2, "tickets"),
    "ticket-unmerge POST": ("tickets/{ticket}/unmerge/", "post", {}, TIER2, "tickets"),
    "ticket-split POST": ("tickets/{ticket}/split/", "post", {"message": 1}, TIER2, "tickets"),
    "ticket-take POST": ("tickets/{ticket}/take/", "post", {}, TIER2, "tickets"),
    "ticket-escalate POST": ("tickets/{ticket}/escalate/", "post", {"handover": "Tried."}, TIER2, "tickets"),
    "ticket-message-list GET": ("tickets/{ticket}/messages/", "get", None, READERS, "read"),
    "ticket-message-list POST": (
        "tickets/{ticket}/messages/",
        "post",
        {"kind": "reply", "text": "x"},
        TIER2 | {"integration"},
        "tickets",
    ),
    "ticket-message-list POST note": (
        "tickets/{ticket}/messages/",
        "post",
        {"kind": "note", "text": "x"},
        NOTERS,
        "tickets",
    ),
    "ticket-link-list GET": ("tickets/{ticket}/links/", "get", None, READERS, "read"),
    "ticket-link-list POST": (
        "tickets/{ticket}/links/",
        "post",
        {"to": "{other}", "relation": "blocks"},
        TIER2,
        "tickets",
    ),
    "ticket-link-remove POST": ("tickets/{ticket}/links/{link}/remove/", "post", {}, TIER2, "tickets"),
    "ticket-attachment-detail GET": (
        "tickets/{ticket}/attachments/{file}/",
        "get",
        None,
        READERS - {"integration"},  # the file is a note's
        "read",
    ),
    "ticket-step-list GET": ("tickets/{ticket}/checklist/", "get", None, READERS, "read"),
    "ticket-step-list POST": ("tickets/{ticket}/checklist/", "post", {"text": "x"}, TIER2, "tickets"),
    "ticket-step-detail PATCH": ("tickets/{ticket}/checklist/{step}/", "patch", {"done": True}, TIER2, "tickets"),
    "ticket-step-remove POST": ("tickets/{ticket}/checklist/{step}/remove/", "post", {}, TIER2, "tickets"),
    "ticket-similar GET": (
        "tickets/similar/?requester_email=a@b.example&text=Help",
        "get",
        None,
        set(ROLES) - {"nobody"},
        "read",
    ),
    "ticket-contacts POST": (
        "tickets/contacts/",
        "post",
        {"channel": "phone", "text": "x", "subject": "s", "requester_email": "a@b.example"},
        NOTERS,
        "tickets",
    ),
    "ticket-approval-list GET": ("tickets/{ticket}/approvals/", "get", None, READERS, "read"),
    "ticket-approval-list POST": (
        "tickets/{ticket}/approvals/",
        "post",
        {"question": "May I?", "level": 0},
        TIER2,
        "tickets",
    ),
    "approval-list GET": ("approvals/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "approval-decide POST": ("approvals/{approval}/decide/", "post", {"yes": True}, {"lead"}, "tickets"),
    "approval-withdraw POST": ("approvals/{approval}/withdraw/", "post", {}, TIER2, "tickets"),
    "rule-list GET": ("rules/", "get", None, SETTINGS, "read"),
    "rule-list POST": (
        "rules/",
        "post",
        {"name": "y", "events": ["opened"], "recipe": {"priority": "low"}},
        MAKERS,
        "tickets",
    ),
    "rule-detail GET": ("rules/{rule}/", "get", None, SETTINGS, "read"),
    "rule-detail PATCH": (
        "rules/{rule}/",
        "patch",
        {"name": "y", "events": ["opened"], "recipe": {"priority": "low"}},
        MAKERS,
        "tickets",
    ),
    "rule-dry-run POST": (
        "rules/dry-run/",
        "post",
        {"name": "y", "events": ["opened"], "recipe": {"priority": "low"}},
        MAKERS,
        "tickets",
    ),
    "rule-log GET": ("rules/{rule}/log/", "get", None, SETTINGS, "read"),
    "recurrence-list GET": ("recurring-tickets/", "get", None, SETTINGS, "read"),
    "recurrence-list POST": ("recurring-tickets/", "post", RECURRING, MAKERS, "tickets"),
    "recurrence-detail GET": ("recurring-tickets/{recurrence}/", "get", None, SETTINGS, "read"),
    "recurrence-detail PATCH": ("recurring-tickets/{recurrence}/", "patch", RECURRING, MAKERS, "tickets"),
    "category-list GET": ("categories/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "category-list POST": ("categories/", "post", {"slug": "x", "name": "X"}, {"administrator"}, "tickets"),
    "category-detail GET": ("categories/{category}/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "category-detail PATCH": ("categories/{category}/", "patch", {"name": "X"}, {"administrator"}, "tickets"),
    "calendar-list GET": ("calendars/", "get", None, SETTINGS, "read"),
    "calendar-list POST": (
        "calendars/",
        "post",
        {"spec": {"slug": "x", "name": "X", "zone": "UTC"}},
        {"administrator"},
        "tickets",
    ),
    "calendar-detail GET": ("calendars/business-hours/", "get", None, SETTINGS, "read"),
    "sla-policy-list GET": ("sla-policies/", "get", None, SETTINGS, "read"),
    "sla-policy-list POST": (
        "sla-policies/",
        "post",
        {"name": "X", "calendar": "business-hours", "tag": "vip"},
        {"administrator"},
        "tickets",
    ),
    "sla-policy-detail GET": ("sla-policies/{policy}/", "get", None, SETTINGS, "read"),
    "sla-policy-detail PATCH": (
        "sla-policies/{policy}/",
        "patch",
        {"name": "X", "calendar": "business-hours"},
        {"administrator"},
        "tickets",
    ),
    "retention-list GET": ("retention/", "get", None, SETTINGS, "read"),
    "retention-list POST": ("retention/", "post", {"name": "Y", "days": 30}, {"administrator"}, "tickets"),
    "retention-detail GET": ("retention/{retention}/", "get", None, SETTINGS, "read"),
    "retention-detail PATCH": (
        "retention/{retention}/",
        "patch",
        {"name": "Y", "days": 3},
        {"administrator"},
        "tickets",
    ),
    "team-list GET": ("team/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "team-away POST": (
        "team/away/",
        "post",
        {"person": "{agent_email}", "until": None},
        {"lead", "administrator", "tier2"},
        "tickets",
    ),
    "requester-export POST": ("requesters/{requester}/export/", "post", {}, {"administrator"}, "tickets"),
    "requester-erasure GET": ("requesters/{requester}/erasure/", "get", None, {"administrator"}, "read"),
    "requester-erase POST": ("requesters/{requester}/erase/", "post", {}, {"administrator"}, "tickets"),
    "ticket-bulk POST": (
        "tickets/bulk/",
        "post",
        {"q": "number:{ticket}", "changes": {"priority": "high"}},
        NOTERS - {"integration"},
        "tickets",
    ),
    "job-list GET": ("jobs/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "job-detail GET": ("jobs/{bulk}/", "get", None, {"administrator"}, "read"),
    "job-rows GET": ("jobs/{bulk}/rows/", "get", None, {"administrator"}, "read"),
    "job-stop POST": ("jobs/{bulk}/stop/", "post", {}, {"administrator"}, "tickets"),
    "job-undo POST": ("jobs/{bulk}/undo/", "post", {}, {"administrator"}, "tickets"),
    "custom-field-list GET": ("custom-fields/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "custom-field-list POST": (
        "custom-fields/",
        "post",
        {"slug": "colour", "label": "Colour", "kind": "text"},
        {"administrator"},
        "tickets",
    ),
    "custom-field-detail GET": ("custom-fields/order/", "get", None, set(ROLES) - {"nobody"}, "read"),
    "custom-field-detail PATCH": (
        "custom-fields/order/",
        "patch",
        {"label": "Order no."},
        {"administrator"},
        "tickets",
    ),
    "requester-list GET": ("requesters/", "get", None, READERS, "read"),
    "requester-detail GET": ("requesters/{requester}/", "get", None, READERS, "read"),
    "tier-list GET": ("tiers/", "get", None, READERS, "read"),
    "tier-detail GET": ("tiers/2/", "get", None, READERS, "read"),
    "article-list GET": ("articles/", "get", None, READERS, "read"),
    "article-detail GET": ("articles/users-cannot-log-in/", "get", None, READERS, "read"),
    "runbook-list GET": ("runbooks/", "get", None, READERS, "read"),
    "runbook-detail GET": ("runbooks/reads-only/", "get", None, READERS, "read"),
    "runbook-runs POST read": ("runbooks/reads-only/runs/", "post", {"target": "box"}, NOTERS, "runs:read"),
    "runbook-runs POST change": (
        "runbooks/changes-things/runs/",
        "post",
        {"target": "box"},
        TIER2 | {"integration"},
        "runs:change",
    ),
    "runbook-runs POST destroy": (
        "runbooks/destroys/runs/",
        "post",
        {"target": "box"},
        TIER3 | {"integration"},
        "runs:destructive",
    ),
    "execution-list GET": ("executions/", "get", None, READERS, "read"),
    "execution-detail GET": ("executions/{run}/", "get", None, READERS, "read"),
    "execution-output GET": ("executions/{run}/output/", "get", None, READERS, "read"),
    "execution-cancel POST": ("executions/{run}/cancel/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-resume POST": ("executions/{lost}/resume/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-give-up POST": ("executions/{lost}/give-up/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-pause POST": ("executions/{run}/pause/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-go-on POST": ("executions/{run}/go-on/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-retry POST": ("executions/{run}/retry/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-stop-batch POST": ("executions/{run}/stop-batch/", "post", {}, TIER2 | {"integration"}, "runs:change"),
    "execution-compare GET": ("executions/{run}/compare/?with={lost}", "get", None, READERS, "read"),
    "runbook-favourite POST": ("runbooks/reads-only/favourite/", "post", {}, SIGNED_IN, "read"),
    "runbook-retire POST": ("runbooks/reads-only/retire/", "post", {"retired": False}, MAKERS, "runs:change"),
    "target-retire POST": ("targets/box/retire/", "post", {"retired": False}, {"administrator"}, "runs:destructive"),
    "execution-answer POST": ("executions/{run}/answer/", "post", {"step": "work", "done": True}, TIER2, "runs:read"),
    "execution-decide POST": ("executions/{asking}/decide/", "post", {"approved": True}, MAKERS, "runs:read"),
    "execution-raw GET": ("executions/{run}/output/raw/", "get", None, READERS, "read"),
    "execution-search GET": ("executions/{run}/output/search/?q=x", "get", None, READERS, "read"),
    "runbook-json-schema GET": ("runbooks/schema/", "get", None, SIGNED_IN, "read"),
    "runbook-validate POST": ("runbooks/validate/", "post", {"text": "x"}, SIGNED_IN, "read"),
    "runbook-versions GET": ("runbooks/reads-only/versions/", "get", None, SIGNED_IN, "read"),
    "runbook-draft-list GET": ("runbook-drafts/", "get", None, READERS, "read"),
    "runbook-draft-list POST": ("runbook-drafts/", "post", {"text": "x"}, TIERED, "runs:change"),
    "runbook-draft-detail GET": ("runbook-drafts/{draft}/", "get", None, TIERED | {"auditor"}, "read"),
    "runbook-draft-detail PATCH": ("runbook-drafts/{draft}/", "patch", {"text": "x"}, TIERED, "runs:change"),
    "runbook-draft-submit POST": ("runbook-drafts/{draft}/submit/", "post", {}, TIERED, "runs:change"),
    "runbook-draft-publish POST": ("runbook-drafts/{draft}/publish/", "post", {}, MAKERS, "runs:change"),
    "runbook-draft-reject POST": ("runbook-drafts/{draft}/reject/", "post", {"note": "no"}, MAKERS, "runs:change"),
    "advance-approval-list GET": ("advance-approvals/", "get", None, READERS, "read"),
    "advance-approval-list POST": (
        "advance-approvals/",
        "post",
        {
            "runbook": "changes-things",
            "target": "box",
            "starts_at": "2126-01-01T00:00:00Z",
            "ends_at": "2126-01-02T00:00:00Z",
        },
        TIER2,
        "runs:read",
    ),
    "advance-approval-revoke POST": (
        "advance-approvals/{ahead}/revoke/",
        "post",
        {},
        {"tier3", "administrator"},
        "runs:read",
    ),
    "schedule-list GET": ("schedules/", "get", None, READERS, "read"),
    "schedule-list POST": ("schedules/", "post", {"name": "n"} | SCHEDULE, MAKERS, "runs:change"),
    "schedule-detail GET": ("schedules/{schedule}/", "get", None, SIGNED_IN, "read"),
    "schedule-detail PATCH": ("schedules/{schedule}/", "patch", {"name": "n"} | SCHEDULE, MAKERS, "runs:change"),
    "schedule-remove POST": ("schedules/{schedule}/delete/", "post", {}, MAKERS, "runs:change"),
    "schedule-pause POST": ("schedules/{schedule}/pause/", "post", {}, MAKERS, "runs:change"),
    "schedule-go-on POST": ("schedules/{schedule}/go-on/", "post", {}, MAKERS, "runs:change"),
    "schedule-run-now POST": ("schedules/{schedule}/run-now/", "post", {}, NOTERS, "runs:change"),
    "schedule-fires GET": ("schedules/{schedule}/fires/", "get", None, SIGNED_IN, "read"),
    "schedule-moments GET": ("schedules/{schedule}/moments/", "get", None, SIGNED_IN, "read"),
    "threshold-list GET": ("thresholds/", "get", None, SIGNED_IN, "read"),
    "fleet-list GET": ("fleet/", "get", None, SIGNED_IN, "read"),
    "target-reach GET": ("targets/box/reach/", "get", None, SETTINGS, "read"),
    "target-secrets POST": ("targets/box/secrets/x/", "post", {"value": "v"}, {"administrator"}, "runs:destructive"),
    "target-test POST": ("targets/box/connections/paths/test/", "post", {}, {"administrator"}, "runs:destructive"),
    "target-list POST": (
        "targets/",
        "post",
        {"slug": "new", "name": "New", "connections": {}},
        {"administrator"},
        "runs:destructive",
    ),
    "target-detail PATCH": ("targets/box/", "patch", {"name": "B"}, {"administrator"}, "runs:destructive"),
    "target-list GET": ("targets/", "get", None, READERS, "read"),
    "target-detail GET": ("targets/box/", "get", None, READERS, "read"),
}
# Open to everybody, or guarded (tickets:approve: by its signature) by something other than a role; each has a test of its own.
APART = {"", "healthz", "readyz", "metrics", "events/", "api/v1/schema/", "api/v1/docs/"}
LISTS = {"queue", "rows", "index", "launch", "runs", "search"}  # a person without a tier sees them empty


@pytest.fixture
def people(db) -> dict[str, User | None]:
    return {
        "nobody": None,
        "tierless": UserFactory(),
        "tier1": agent(1),
        "tier2": agent(2),
        "tier3": agent(3),
        "lead": lead(1, 2),
        "administrator": UserFactory(role="administrator"),
        "auditor": UserFactory(role="auditor"),
        "integration": UserFactory(role="integration"),
    }


@pytest.fixture
def things(people) -> dict[str, int]:
    """A ticket of tier 2 that came by mail with a file, a queued run and a lost one, all attached to it."""
    from tickets.mail import incoming
    from tickets.models import ImapAccount, InboundEmail, Mailbox, MailRule

    box = Mailbox.objects.get(name="tech")
    ImapAccount.objects.create(mailbox=box, host="127.0.0.1", port=1, security="none", user="x", secret=b"")
    raw = b"From: a@b.example\nTo: tech@example.com\nSubject: Help\nMessage-ID: <p@b.example>\n\nIt broke."
    made = Ticket.objects.get(
        number=incoming.apply(incoming.store(raw, mailbox=Mailbox.objects.get(name="tech")).pk).ticket
    )
    from tickets.actions._messages import NewFile

    note = actions.note(
        number=made.number, by=people["tier3"], text="See the file.", files=[NewFile("a.txt", "text/plain", b"x")]
    )
    acting = {**shell("true"), "effect": "idempotent"}
    runbook("reads-only", [shell("true")], risk="read")
    runbook("changes-things", [acting], tier=2)
    runbook("destroys", [acting], risk="destructive", tier=3)
    run_actions.save_target(slug="box", name="Box", environment="test", connections={"paths": {}})
    arguments = {"slug": "changes-things", "target": "box", "by": people["administrator"], "ticket": made.number}
    run, lost = run_actions.start(**arguments), run_actions.start(**arguments)
    Execution.objects.filter(pk=lost.pk).update(state=RunState.LOST)
    asking = run_actions.start(slug="destroys", target="box", by=people["tier3"])
    draft = run_actions.save_draft(by=people["tier3"], text="x")
    now = timezone.now()
    ahead = run_actions.approve_ahead(
        slug="changes-things", target="box", by=people["tier3"], starts_at=now, ends_at=now + timedelta(days=1)
    )
    schedule = run_actions.save_schedule(
        name="weekly", slug="reads-only", targets=["box"], cron_rule="0 9 * * 1", zone="UTC", by=people["administrator"]
    )
    other = ticket(2)
    tie = TicketLink.objects.create(source=made, target=ticket(2), kind="blocks")
    CustomField.objects.create(slug="order", label="Order", kind="text")
    rules.bump()
    return {
        "asking": asking.pk,
        "draft": draft.pk,
        "ahead": ahead.pk,
        "schedule": schedule.pk,
        "link": tie.pk,
        "step": made.checklist.create(text="Look").pk,
        "ticket": made.number,
        "file": Attachment.objects.get(message=note).pk,
        "mail": made.messages.first().pk,
        "other": other.number,
        "run": run.pk,
        "lost": lost.pk,
        "requester": made.requester_id,
        "organization": Organization.objects.create(name="Acme").pk,
        "policy": SLAPolicy.objects.get().pk,
        "category": Category.objects.all()[0].pk,
        "retention": RetentionPolicy.objects.create(name="x", days=9).pk,
        "approval": made.approvals.create(question="May I?", of_level=2).pk,
        "rule": Rule.objects.create(name="x", events=["opened"], recipe={"priority": "high"}).pk,
        "recurrence": Recurrence.objects.create(
            name="x", cron="0 9 * * mon", requester_email="a@b.example", subject="s", text="t", tier=made.tier
        ).pk,
        "agent": people["tier2"].pk,
        "agent_email": people["tier2"].email,
        "bulk": Job.objects.create(kind="bulk", title="x", state="done").pk,
        "job": Job.objects.create(kind="clocks", title="x").pk,
        "picture": _picture(made).pk,
        "mailbox": box.pk,
        "unread": InboundEmail.objects.create(mailbox=box, raw=raw, content_hash="x", state="failed", ticket=made).pk,
        "mail_rule": MailRule.objects.create(name="x", conditions=[], spam=True).pk,
    }


def _picture(made: Ticket) -> Attachment:
    """A picture in the text of the ticket's first mail."""
    picture = Attachment(
        message=made.messages.first(), name="a.png", content_type="image/png", size=8, content_id="a@x"
    )
    picture.file.save("a", ContentFile(b"\x89PNG\r\n\x1a\n"), save=False)
    picture.save()
    return picture


def patterns(resolver: URLResolver, prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            name = entry.app_name or entry.namespace
            found += [(f"{name}:{n}" if name and ":" not in n else n, p) for n, p in patterns(entry, path)]
        elif isinstance(entry, URLPattern):
            found.append((entry.name or "", path))
    return found


def test_every_address_is_in_a_table():
    known = {name.split(" ")[0] for name in (*PAGES, *API)}
    missing = [
        (name, path)
        for name, path in patterns(get_resolver())
        if name not in known
        and path not in APART
        and name not in {"tickets:approve", "tickets:rate"}
        and not path.startswith("accounts/")
    ]
    assert missing == []


def signed_in(user: User | None) -> Client:
    client = Client()
    if user is not None:
        client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def filled(data: dict[str, Any] | None, things: dict[str, int]) -> dict[str, Any] | None:
    """Data whose texts name things of these tests, such as {other}."""
    return data and {name: value.format(**things) if isinstance(value, str) else value for name, value in data.items()}


def allowed(response: Any) -> bool:
    """Whether the answer is the thing itself: not a refusal, not "no such thing", not the sign-in page."""
    if response.status_code == 302:
        return "/accounts/login/" not in response["Location"]
    assert response.status_code < 500, response.content[:300]
    return response.status_code not in {401, 403, 404, 405}


def for_each_role(check: Any) -> None:
    """Try every role, each on the same things: what one did is taken back before the next."""
    wrong = {}
    for role in ROLES:
        with transaction.atomic():
            problem = check(role)
            transaction.set_rollback(True)
        if problem:
            wrong[role] = problem
    assert wrong == {}


def judged(response: Any, expected: bool) -> Any:
    return None if allowed(response) == expected else (response.status_code, response.content[:200])


@pytest.mark.parametrize("name", PAGES)
def test_reading_a_page(people, things, name):
    path, readers, _, _ = PAGES[name]

    def check(role: str) -> Any:
        response = signed_in(people[role]).get(path.format(**things))
        if not readers and role != "nobody":
            return None if response.status_code == 405 else response.status_code
        return judged(response, role in readers)

    for_each_role(check)


@pytest.mark.parametrize("name", PAGES)
def test_acting_on_a_page(people, things, name):
    path, _, data, actors = PAGES[name]

    def check(role: str) -> Any:
        response = signed_in(people[role]).post(path.format(**things), filled(data, things))
        if not actors and role != "nobody":
            return None if response.status_code == 405 else response.status_code
        return judged(response, role in actors)

    for_each_role(check)


@pytest.mark.parametrize("name", [name for name, row in PAGES.items() if row[3]])
def test_a_form_without_its_csrf_token_is_refused(people, things, name):
    path, _, data, _ = PAGES[name]
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["administrator"], backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.post(path.format(**things), filled(data, things)).status_code == 403


def call(user: User | None, row: Any, things: dict[str, int], scopes: list[str] | None = None) -> Any:
    path, method, body, _, _ = row
    headers = {}
    if user is not None:
        _, text = create_token(email=user.email, scopes=scopes or list(TokenScope.values))
        headers = {"Authorization": f"Token {text}"}
    return getattr(Client(), method)(
        f"/api/v1/{path.format(**things)}", filled(body, things), content_type="application/json", headers=headers
    )


@pytest.mark.parametrize("name", API)
def test_the_api(people, things, name):
    for_each_role(lambda role: over_the_api(people, things, role, name))


def over_the_api(people: Any, things: dict[str, int], role: str, name: str) -> Any:
    response = call(people[role], API[name], things)
    may = API[name][3]
    if role == "tierless" and name.split(" ")[0] in {
        "ticket-list", "requester-list", "organization-list", "tier-list", "tier-detail", "article-list", "runbook-list", "runbook-detail",
        "execution-list", "target-list", "target-detail", "runbook-draft-list", "advance-approval-list", "schedule-list", "job-list", "custom-field-list", "custom-field-detail", "ticket-similar", "approval-list", "category-list", "category-detail", "team-list",
    } and API[name][1] == "get":  # fmt: skip
        rows = response.json().get("results", []) if isinstance(response.json(), dict) else []
        assert response.status_code == 200
        assert not rows or name.startswith(
            ("tier", "runbook", "target", "schedule", "advance", "custom-field", "category")
        )
        return None
    return judged(response, role in may)


@pytest.mark.parametrize("name", API)
def test_a_token_without_the_scope_may_not(people, things, name):
    scope = API[name][4]
    others = [other for other in TokenScope.values if other != scope]
    assert call(people["administrator"], API[name], things, others).status_code == 403


@pytest.mark.parametrize("name", API)
@pytest.mark.parametrize("method", ["put", "delete"])
def test_nothing_is_replaced_or_deleted_over_the_api(people, things, name, method):
    row = API[name]
    assert call(people["administrator"], (row[0], method, {}, row[3], row[4]), things).status_code in {403, 405}


@pytest.mark.parametrize("role", sorted(READERS))
def test_a_restricted_ticket_and_its_runs_look_like_none(people, things, role):
    whole = Ticket.objects.filter(number=things["ticket"])
    facts = {
        "restricted": True,
        "tier_id": whole.get().tier_id,
        "status": "new",
        "merged_into": None,
        "snoozed_until": None,
    }
    client = signed_in(people[role])
    for name, (path, readers, data, _) in PAGES.items():
        if not any(thing in path for thing in ("{ticket}", "{run}", "{lost}")):  # these are of no ticket
            continue
        whole.update(**facts)
        response = (
            client.get(path.format(**things)) if readers else client.post(path.format(**things), filled(data, things))
        )
        if role in RESTRICTED:
            assert response.status_code != 404, name
        elif role == "integration" and name == "tickets:bulk":  # whatever it names
            assert response.status_code == 403
        else:
            assert response.status_code == 404, name
    whole.update(**facts)
    assert (str(things["ticket"]) in client.get("/tickets/").content.decode()) == (role in RESTRICTED)
    listed = call(people[role], API["ticket-list GET"], things).json()["results"]
    assert (things["ticket"] in {row["number"] for row in listed}) == (role in RESTRICTED)


def test_watchers_and_assignees_see_a_restricted_ticket(people, things):
    number = things["ticket"]
    actions.watch(number=number, by=people["tier1"])
    actions.assign(number=number, by=people["lead"], to=people["tier3"])
    Ticket.objects.filter(number=number).update(restricted=True)
    for role, status in (("tier1", 200), ("tier3", 200), ("tier2", 404)):
        assert signed_in(people[role]).get(f"/tickets/{number}/").status_code == status


def test_an_integration_cannot_sign_in_with_a_password(db):
    user = UserFactory(role="integration")
    user.set_password("correct horse battery")
    user.save()
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": "correct horse battery"})
    assert "_auth_user_id" not in client.session


def test_nobody_signs_up(db):
    assert Client().get("/accounts/signup/").status_code == 404


def test_refusals_name_the_rule(people, things):
    answer = call(people["tier1"], API["ticket-detail PATCH"], things).json()
    assert (
        answer["errors"][0]["detail"]
        == f"Ticket {things['ticket']} is with tier 2: only that tier or a higher one may change it."
    )


def test_the_rows_that_these_tests_need_exist(people, things):
    assert Article.objects.filter(slug="users-cannot-log-in").exists()
    assert OutboundEmail.objects.count() == 0
    assert ticket(1).tier.level == 1
