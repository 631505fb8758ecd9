"""People of every role, and one of each thing that they may ask for."""

from collections.abc import Iterator
from datetime import time, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from runbooks import actions as run_actions
from runbooks.models import Execution, RunState
from staff.models import Contact, Team, User
from tests.factories import UserFactory, agent, lead, ticket
from tests.runbooks.make import runbook, shell
from tickets import actions
from tickets.actions import drafts
from tickets.models import (
    Attachment,
    Category,
    CustomField,
    Job,
    Macro,
    Organization,
    OutboundEmail,
    Recurrence,
    RetentionPolicy,
    Rule,
    SavedView,
    SLAPolicy,
    Ticket,
    TicketLink,
)
from tickets.sla import rules
from workspace.models import KeptReport


@pytest.fixture(scope="module")
def kept(django_db_setup, django_db_blocker) -> Iterator[None]:
    """One transaction around all tests of a module: what they start from is made once; each undoes its own."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _each_undoes_its_own(things, db, settings, files) -> None:
    """What a test does is taken back before the next; the files of the things stay where they were put."""
    settings.STORAGES = settings.STORAGES | {"default": files}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Any]:
    location = tmp_path_factory.mktemp("files")
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(location)}}


@pytest.fixture(scope="module")
def people(kept) -> dict[str, User | None]:
    made = {
        "tierless": UserFactory(),
        "tier1": agent(1),
        "tier2": agent(2),
        "tier3": agent(3),
        "lead": lead(1, 2),
        "administrator": UserFactory(role="administrator"),
        "auditor": UserFactory(role="auditor"),
        "integration": UserFactory(role="integration"),
    }
    for person in made.values():  # signed in once, for all tests
        client = Client()
        client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
        person.session = client.cookies[settings.SESSION_COOKIE_NAME].value
    return {"nobody": None, **made}


@pytest.fixture(scope="module")
def things(people, files) -> dict[str, int]:
    """A ticket of tier 2 that came by mail with a file, a queued run and a lost one, all attached to it."""
    from tickets.mail import incoming
    from tickets.models import ImapAccount, InboundEmail, Mailbox, MailRule

    kept_there = override_settings(STORAGES={**settings.STORAGES, "default": files})
    kept_there.enable()
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
    made_of = {
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
        "sent": _sent(made).pk,
        "view": SavedView.objects.create(name="All", query="is:open").pk,
        **_written(made, people["tier2"]),
        "kept": KeptReport.objects.create(
            owner=people["tier2"], name="x", report="load", period="30d", zone="UTC", at=time(8)
        ).pk,
        "contact": Contact.objects.all()[0].pk,
        "team": Team.objects.all()[0].pk,
        "notice": people["tier2"].notifications.create(kind="test", text="x", reason="x", key="x").pk,
        "mail_rule": MailRule.objects.create(name="x", conditions=[], spam=True).pk,
    }
    kept_there.disable()
    return made_of


def _written(made: Ticket, by: User) -> dict[str, int]:
    """A reply of tier 2 that waits, their draft with a file, and a macro of all that changes something."""
    pending = made.drafts.create(user=by, text="x", state="sending", send_at=timezone.now() + timedelta(hours=1))
    (file,) = drafts.attach(number=made.number, by=by, files=[SimpleUploadedFile("a.txt", b"x")])
    macro = Macro.objects.create(name="All", recipe={"priority": "low"})
    return {"pending": pending.pk, "draft_file": file.pk, "macro": macro.pk}


def _sent(made: Ticket) -> OutboundEmail:
    """The mail of a reply."""
    message = made.messages.create(kind="reply", text="x", author=None)
    return OutboundEmail.objects.create(
        ticket=made, message=message, sender="a@example.com", to="b@b.example", reply_to="a@example.com", subject="x", rfc_id="x@x"
    )  # fmt: skip


def _picture(made: Ticket) -> Attachment:
    """A picture in the text of the ticket's first mail."""
    picture = Attachment(
        message=made.messages.first(), name="a.png", content_type="image/png", size=8, content_id="a@x"
    )
    picture.file.save("a", ContentFile(b"\x89PNG\r\n\x1a\n"), save=False)
    picture.save()
    return picture
