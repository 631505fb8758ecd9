"""Reports that take long, are kept, and are mailed."""

import csv
import io
from datetime import UTC, datetime, time, timedelta

import pytest
import time_machine
from django.core import mail
from django.db import OperationalError, connection
from django.utils import timezone

from staff.models import Notification
from supportdesk import outbox
from supportdesk.errors import Invalid, NotFound
from tests.factories import agent, ticket
from workspace import counting, reports
from workspace.actions import kept
from workspace.models import CountedReport, KeptReport, ReportReader
from workspace.scope import Scope

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)  # a Wednesday


def keep(by, **more):
    wanted = {
        "name": "Weekly", "report": "channels", "period": "30d", "zone": "Europe/Berlin", "query": "", "every": "week", "weekday": 0,
        "at": time(8), "readers": [by],
    }  # fmt: skip
    return kept.save(by=by, **wanted | more)


def scope_of(user, **given):
    return Scope.read(user, {"period": "30d"} | given)


@pytest.fixture
def slow(monkeypatch):
    """A report that takes longer than a reader should wait, as a million tickets make one."""
    real = counting._live

    def live(key, scope):
        if key == "load":
            raise OperationalError("canceling statement due to statement timeout")
        return real(key, scope)

    monkeypatch.setattr(counting, "_live", live)


# ------------------------------------------------------------------------------------ what takes long
def test_a_statement_beyond_the_patience_is_given_up(db, monkeypatch, tier1):
    def forever(scope):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setitem(reports.REPORTS, "load", reports.Report("load", "x", "x", forever, forever))
    found = counting.find("load", scope_of(tier1))
    assert (found.table, found.counted_at) == (None, None)
    with connection.cursor() as cursor:  # the limit was of that report alone
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


def test_what_is_quick_is_found_live_and_nothing_is_kept(db, tier1):
    found = counting.find("load", scope_of(tier1))
    assert found.live
    assert not CountedReport.objects.exists()


def test_what_takes_long_is_counted_by_a_worker_and_shown_with_its_age(client, tier1, slow):
    client.force_login(tier1)
    page = client.get("/reports/load/")
    assert "Counting." in page.content.decode()
    assert page["Refresh"] == "2"
    assert "Counting." in client.get("/reports/load/", headers={"HX-Request": "true"}).content.decode()
    row = CountedReport.objects.first()
    assert counting.sweep() == 2  # this period and the one before
    page = client.get("/reports/load/")
    assert "anew every ten minutes" in page.content.decode()
    assert "Refresh" not in page
    row.refresh_from_db()
    live = reports.report("load").find(scope_of(tier1))
    assert counting._read(row.found) == live


def test_old_figures_are_shown_and_counted_anew(tier1, slow):
    counting.find("load", scope_of(tier1))
    counting.sweep()
    CountedReport.objects.update(counted_at=timezone.now() - timedelta(minutes=11))
    found = counting.find("load", scope_of(tier1))
    assert found.table is not None
    assert counting.sweep() == 1
    assert counting.sweep() == 0
    CountedReport.objects.update(
        asked_at=timezone.now() - timedelta(days=3), counted_at=timezone.now() - timedelta(days=3)
    )
    assert counting.sweep() == 0
    CountedReport.objects.update(asked_at=timezone.now() - timedelta(days=15))
    counting.sweep()
    assert not CountedReport.objects.exists()


def test_two_workers_count_one_report_once(tier1, slow):
    counting.find("load", scope_of(tier1))
    row = CountedReport.objects.get()
    CountedReport.objects.update(claimed_at=timezone.now())
    assert not counting.count(row.pk)
    CountedReport.objects.update(claimed_at=timezone.now() - timedelta(minutes=7))
    assert counting.count(row.pk)


def test_a_report_that_cannot_be_counted_says_so_and_waits_no_more(client, tier1, slow, monkeypatch):
    def broken(scope):
        raise Invalid("The period is too long.")

    monkeypatch.setitem(reports.REPORTS, "load", reports.Report("load", "x", "x", broken, broken))
    client.force_login(tier1)
    client.get("/reports/load/")
    counting.sweep()
    page = client.get("/reports/load/")
    assert "could not be counted" in page.content.decode()
    assert "Refresh" not in page


def test_each_reader_has_figures_of_their_own(tier1, administrator, slow):
    made = ticket(1)
    made.restricted = True
    made.save()
    for user in (tier1, administrator):
        counting.find("load", scope_of(user))
    assert CountedReport.objects.values("user").distinct().count() == 2


def test_a_query_that_breaks_later_leaves_the_old_figures_and_says_why(tier1, slow, monkeypatch):
    counting.find("load", scope_of(tier1))
    counting.sweep()

    def broken(scope):
        raise Invalid("There is no field.x any more.")

    monkeypatch.setitem(reports.REPORTS, "load", reports.Report("load", "x", "x", broken, broken))
    CountedReport.objects.update(counted_at=timezone.now() - timedelta(hours=1))
    counting.sweep()
    found = counting.find("load", scope_of(tier1))
    assert found.table is not None
    assert "no field.x" in found.problem


# ------------------------------------------------------------------------------------------- by mail
@pytest.mark.parametrize(
    ("every", "weekday", "wanted"),
    [
        ("day", 0, "2026-03-05 08:00"),
        ("week", 0, "2026-03-09 08:00"),
        ("week", 2, "2026-03-11 08:00"),  # today, but the hour has passed
        ("month", 0, "2026-04-01 08:00"),
    ],
)
def test_the_next_time_is_on_the_wall_clock_of_its_zone(tier1, every, weekday, wanted):
    with time_machine.travel(NOW, tick=False):
        made = keep(tier1, every=every, weekday=weekday)
    zone = __import__("zoneinfo").ZoneInfo("Europe/Berlin")
    assert made.next_at == datetime.fromisoformat(wanted).replace(tzinfo=zone)


def test_what_is_due_is_mailed_once_with_a_file_and_goes_on_to_the_next_time(tier1, tier2):
    with time_machine.travel(NOW, tick=False):
        made = keep(tier1, every="day", readers=[tier1, tier2])
        ticket(1)
    with time_machine.travel(NOW + timedelta(days=1), tick=False):
        assert kept.sweep() == 2
        assert kept.sweep() == 0
        assert outbox.sweep() >= 2
        assert kept.sweep() == 0
    assert {tuple(message.to) for message in mail.outbox} == {(tier1.email,), (tier2.email,)}
    message = mail.outbox[0]
    assert message.subject.startswith("Weekly: ")
    (name, content, kind) = message.attachments[0]
    assert (name, kind) == ("channels.csv", "text/csv")
    assert ["email", "1", "100.0"] in list(csv.reader(io.StringIO(content)))
    assert "<td>Email</td>" in message.alternatives[0][0]
    made.refresh_from_db()
    assert made.next_at.date().isoformat() == "2026-03-06"
    assert ReportReader.objects.exclude(sent_at=None).count() == 2


def test_an_occasion_is_sent_once_though_it_is_delivered_twice(tier1):
    made = keep(tier1, every="never")
    kept.send_now(by=tier1, pk=made.pk)
    reader = made.readers.get()
    kept.mail(reader.pk)
    kept.mail(reader.pk)
    assert len(mail.outbox) == 1
    assert mail.outbox[0].extra_headers["Message-ID"].startswith(f"<report-{reader.pk}-")


def test_each_gets_the_figures_that_they_may_see(tier1, administrator):
    hidden = ticket(1)
    hidden.restricted = True
    hidden.save()
    made = keep(administrator, readers=[tier1, administrator])
    kept.send_now(by=administrator, pk=made.pk)
    outbox.sweep()
    counts = {message.to[0]: list(csv.reader(io.StringIO(message.attachments[0][1])))[1][1] for message in mail.outbox}
    assert counts == {tier1.email: "0", administrator.email: "1"}


def test_who_left_gets_none_and_who_may_not_is_named_to_the_owner(tier1, administrator):
    outsider, gone = agent(1), agent(1)
    made = keep(administrator, readers=[outsider, gone])
    outsider.memberships.all().delete()
    gone.is_active = False
    gone.save()
    kept.send_now(by=administrator, pk=made.pk)
    outbox.sweep()
    assert mail.outbox == []
    told = Notification.objects.get(user=administrator)
    assert told.kind == "report"
    assert outsider.name in told.text


def test_what_takes_too_long_to_count_is_told_in_words(tier1, monkeypatch):
    def forever(scope):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(counting, "LONGEST_MS", 50)
    monkeypatch.setitem(reports.REPORTS, "load", reports.Report("load", "x", "x", forever, forever))
    made = keep(tier1, report="load")
    kept.send_now(by=tier1, pk=made.pk)
    outbox.sweep()
    assert mail.outbox == []
    assert "more than a minute" in Notification.objects.get(user=tier1).text
    counting.find("load", scope_of(tier1))
    counting.sweep()
    assert "more than a minute" in counting.find("load", scope_of(tier1)).problem


def test_what_is_wrong_with_a_kept_report_is_said(tier1):
    keep(tier1)
    for wrong in (
        {"name": "Weekly"}, {"name": " "}, {"name": "b", "report": "nonsense"}, {"name": "c", "period": "9y"}, {"name": "d", "zone": "Mars"},
        {"name": "e", "query": "is:nonsense"}, {"name": "f", "readers": []},
    ):  # fmt: skip
        with pytest.raises((Invalid, NotFound)):
            keep(tier1, **wrong)
    assert KeptReport.objects.count() == 1


def test_a_report_is_kept_changed_mailed_and_let_go_on_its_pages(client, tier1, tier2):
    client.force_login(tier1)
    page = client.get("/reports/kept/new/?report=load&period=90d&q=tier:1").content.decode()
    assert "tier:1" in page
    data = {
        "name": "Load", "report": "load", "period": "90d", "query": "tier:1", "zone": "UTC", "every": "day", "weekday": "0", "at": "07:30",
        "readers": [tier1.pk, tier2.pk],
    }  # fmt: skip
    assert client.post("/reports/kept/new/", data).status_code == 302
    made = KeptReport.objects.get()
    assert "Every day" in client.get("/reports/").content.decode()
    assert client.post(f"/reports/kept/{made.pk}/", data | {"every": "never"}).status_code == 302
    assert "Only kept" in client.get("/reports/").content.decode()
    assert client.post(f"/reports/kept/{made.pk}/", data | {"query": "is:nonsense"}).status_code == 422
    client.post(f"/reports/kept/{made.pk}/send/")
    outbox.sweep()
    assert len(mail.outbox) == 2
    client.force_login(tier2)
    assert client.get(f"/reports/kept/{made.pk}/").status_code == 404
    assert client.post(f"/reports/kept/{made.pk}/delete/").status_code == 404
    client.force_login(tier1)
    client.post(f"/reports/kept/{made.pk}/delete/")
    assert not KeptReport.objects.exists()
