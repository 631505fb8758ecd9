"""Reports under a name, mailed by a timetable to people, each with the figures that they may see."""

import csv
import io
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from staff import actions as staff
from staff.models import Notification, User
from supportdesk import outbox
from supportdesk.errors import DeskError, NotFound
from supportdesk.text import one_line
from workspace import counting, reports
from workspace.models import Every, KeptReport, ReportReader
from workspace.scope import PRESETS, Scope, check_can_see_reports
from workspace.tables import Table, csv_lines

MOST_READERS = 50


@transaction.atomic
def save(
    *,
    by: User,
    name: str,
    report: str,
    period: str,
    zone: str,
    query: str,
    every: str,
    weekday: int,
    at: time,
    readers: Sequence[User],
    pk: int | None = None,
) -> KeptReport:
    """Keep a report under a name, or change one of one's own. Raises `Invalid` that names the fields."""
    check_can_see_reports(by)
    found = KeptReport.objects.select_for_update().filter(pk=pk, owner=by).first() if pk else KeptReport(owner=by)
    if found is None:
        raise NotFound("There is no such report of yours.")
    name = one_line(name, most=80)
    wrong = {} if name else {"name": "Write a name."}
    if KeptReport.objects.filter(owner=by, name=name).exclude(pk=found.pk).exists():
        wrong["name"] = "You keep a report of that name already."
    if period not in PRESETS:
        wrong["period"] = "Choose a period that goes along with the time."
    if every != Every.NEVER and not readers:
        wrong["readers"] = "Choose who gets it."
    if len(readers) > MOST_READERS:
        wrong["readers"] = f"{MOST_READERS} people at most."
    staff.refuse(wrong)
    Scope.read(by, {"period": period, "zone": zone, "q": query}).tickets()  # refuses a zone or query that is none
    found.report, found.name, found.period, found.zone = reports.report(report).key, name, period, zone
    found.query, found.every, found.weekday, found.at = query, every, weekday, at
    found.next_at = next_at(found, timezone.now())
    found.save()
    found.readers.exclude(user__in=readers).delete()
    for reader in readers:
        ReportReader.objects.get_or_create(kept=found, user=reader)
    if others := sorted(reader.email for reader in readers if reader != by):
        staff.audit(by=by, action="report.mailed", thing=f"report {name}", after={"every": every, "to": others})
    return found


@transaction.atomic
def delete(*, by: User, pk: int) -> None:
    """Let go of a report of one's own."""
    _own(by, pk).delete()


@transaction.atomic
def send_now(*, by: User, pk: int) -> int:
    """Mail one of one's own to its readers now. Returns to how many."""
    found = _own(by, pk)
    return _put(found, timezone.now())


def _own(by: User, pk: int) -> KeptReport:
    found = KeptReport.objects.select_for_update().filter(pk=pk, owner=by).first()
    if found is None:
        raise NotFound("There is no such report of yours.")
    return found


def next_at(kept: KeptReport, now: datetime) -> datetime | None:
    """The first moment after `now` at which it is mailed, on the wall clock of its zone."""
    if kept.every == Every.NEVER:
        return None
    zone = ZoneInfo(kept.zone)
    day = now.astimezone(zone).date()
    for ahead in range(33):
        date = day + timedelta(days=ahead)
        fits = {Every.DAY: True, Every.WEEK: date.weekday() == kept.weekday, Every.MONTH: date.day == 1}[
            Every(kept.every)
        ]
        moment = datetime.combine(date, kept.at, zone)
        if fits and moment > now:
            return moment
    raise AssertionError("a month has a first")


@transaction.atomic
def sweep() -> int:
    """Put what is due into the outbox, once however many sweeps there are. Returns how many mails."""
    now, mails = timezone.now(), 0
    for kept in KeptReport.objects.filter(next_at__lte=now, owner__is_active=True).select_for_update(
        skip_locked=True, of=("self",)
    )[:100]:
        mails += _put(kept, kept.next_at or now)
        kept.next_at = next_at(kept, now)
        kept.save(update_fields=["next_at"])
    return mails


def _put(kept: KeptReport, occasion: datetime) -> int:
    readers = list(kept.readers.filter(user__is_active=True).order_by("pk").values_list("pk", flat=True))
    ReportReader.objects.filter(pk__in=readers).update(due_at=occasion)
    for pk in readers:
        outbox.put("workspace.mail_report", pk, key=f"report:{pk}:{occasion.timestamp()}")
    return len(readers)


@outbox.handler("workspace.mail_report")
def mail(pk: int) -> None:
    """Count a report for one reader and mail it, with its table as a file too; its owner hears of one that cannot be.

    Whoever does holds the reader's row, and an occasion that was sent is due no more.
    """
    with transaction.atomic():
        rows = ReportReader.objects.filter(pk=pk, user__is_active=True, due_at__isnull=False)
        reader = rows.select_for_update(skip_locked=True, of=("self",)).select_related("kept__owner", "user").first()
        if reader is None:
            if rows.exists():
                raise outbox.Later
            return
        problem = _send(reader)
        reader.due_at = None
        reader.sent_at = reader.sent_at if problem else timezone.now()
        reader.save(update_fields=["due_at", "sent_at"])
    if problem:
        raise outbox.GiveUp(problem)


def _send(reader: ReportReader) -> str:
    """Returns why it cannot be sent, whatever the time; empty when it was."""
    kept = reader.kept
    try:
        check_can_see_reports(reader.user)
        scope = Scope.read(reader.user, {"period": kept.period, "zone": kept.zone, "q": kept.query})
        _message(reader, scope, counting.patiently(kept.report, scope)).send()
    except (DeskError, SMTPRecipientsRefused) as error:
        _tell(kept, reader.user, str(error))
        return str(error)[:300]
    return ""


def _tell(kept: KeptReport, reader: User, words: str) -> None:
    text = f"The report {kept.name} could not be mailed to {reader}: {words}"[:300]
    url = reverse("workspace:kept_report", args=[kept.pk])
    day = f"{timezone.now():%Y-%m-%d}"
    staff.notify(
        [
            Notification(
                user=kept.owner,
                kind="report",
                text=text,
                reason="Because it is yours",
                url=url,
                key=f"report:{kept.pk}:{reader.pk}:{day}",
            )
        ]
    )


def _message(reader: ReportReader, scope: Scope, table: Table) -> EmailMultiAlternatives:
    kept, to = reader.kept, reader.user
    path = reverse("workspace:report", args=[kept.report])
    asked = urlencode({"period": kept.period, "zone": kept.zone, "q": kept.query})
    words = {
        "kept": kept, "report": reports.report(kept.report), "scope": scope, "table": table, "to_owner": to == kept.owner, "url": f"{settings.BASE_URL}{path}?{asked}",
        "lines": ["\t".join(str(cell) for cell in line) for line in [table.headings, *(row.cells for row in table.rows)]],
    }  # fmt: skip
    message = EmailMultiAlternatives(
        subject=f"{kept.name}: {scope.first_day:%d %b} to {scope.last_day:%d %b %Y}",
        body=render_to_string("workspace/mail/report.txt", words), to=[to.email],
        headers={
            "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All",
            "Message-ID": f"<report-{reader.pk}-{reader.due_at:%Y%m%d%H%M%S}@{settings.MAIL_DOMAIN}>",
        },
    )  # fmt: skip
    message.attach_alternative(render_to_string("workspace/mail/report.html", words), "text/html")
    message.attach(f"{kept.report}.csv", as_file(table), "text/csv")
    return message


def as_file(table: Table) -> str:
    """A table as CSV."""
    file = io.StringIO()
    csv.writer(file).writerows([plain(cell) for cell in line] for line in csv_lines(table))
    return file.getvalue()


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
