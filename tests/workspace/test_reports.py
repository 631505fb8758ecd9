"""Reports: the same figures as a straight count, whose they are, and how they are shown."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import reports as straight
from staff.models import User
from supportdesk.errors import Invalid, NotFound
from tests.factories import UserFactory, agent, lead, ticket
from tickets import actions
from tickets.actions import mailboxes
from tickets.models import Priority, Status, Ticket
from workspace import charts, reports
from workspace.scope import Scope, steps
from workspace.tables import said, said_change

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def scope(user, **given_):
    return Scope.read(user, given_ or {"period": "30d"})


@pytest.mark.django_db
@pytest.mark.parametrize("seed", [1, 2])
def test_every_figure_is_that_of_a_straight_count(seed):
    assert straight.compare(250, seed=seed) == []


def test_the_backlog_follows_what_is_done_to_tickets(db):
    by, boss = agent(3), lead(1)
    a, b, c, d = (ticket(1, subject=f"T{n}") for n in range(4))

    def now():
        return reports.backlog(scope(boss, period="today")).rows[-1].cells[1]

    assert now() == 4
    actions.resolve(number=a.number, by=by)
    assert now() == 3
    actions.close(number=a.number, by=by)
    actions.set_status(number=a.number, by=by, status=Status.OPEN)
    assert now() == 4
    actions.merge(number=b.number, into=c.number, by=by)
    actions.mark_spam(number=d.number, by=by)
    assert now() == 2
    actions.unmerge(number=b.number, by=by)
    actions.mark_not_spam(number=d.number, by=by)
    assert now() == 4
    yesterday = reports.backlog(scope(boss, period="7d")).rows[-2].cells[1]
    assert yesterday == 0


def test_what_one_may_not_see_is_not_counted(db):
    ticket(1), ticket(1)
    Ticket.objects.filter(pk=Ticket.objects.first().pk).update(restricted=True)
    by, boss = agent(1), lead(1)
    assert reports.channels(scope(by)).total == 1
    assert reports.channels(scope(boss)).total == 2
    assert reports.backlog(scope(by)).rows[-1].cells[1] == 1
    hidden = reports.report("channels").behind(scope(by), "email")
    assert [row.restricted for row in hidden] == [False]


def test_a_query_narrows_every_report(db):
    by = agent(1)
    urgent = ticket(1, priority=Priority.URGENT)
    other = ticket(1)
    for made in (urgent, other):
        actions.reply(number=made.number, by=by, text="x", then=Status.RESOLVED, minutes=7)
    narrow = scope(by, period="7d", q="priority:urgent")
    for key, found in reports.REPORTS.items():
        assert isinstance(found.find(narrow).rows, list), key
    assert reports.channels(narrow).total == 1
    assert reports.load(narrow).rows[0].cells[1:5] == [1, 1, 0, 7]
    assert {row.cells[3] for row in reports.attainment(narrow).rows} == {1}


def test_behind_each_line_are_its_tickets(db):
    by, boss = agent(1), lead(1)
    made = ticket(1)
    actions.reply(number=made.number, by=by, text="x", then=Status.RESOLVED)
    actions.set_status(number=made.number, by=by, status=Status.OPEN)
    other = ticket(1, subject="Other")
    mine = scope(boss)
    for key, row in {
        "attainment": "first_response|1|normal", "first-response": "0", "load": str(by.pk), "rates": "reopened", "channels": "email",
    }.items():  # fmt: skip
        found = {one.number for one in reports.report(key).behind(mine, row)}
        assert made.number in found, key
        assert (other.number in found) == (key == "channels"), key
    today = reports.backlog(mine).rows[-1].key
    assert reports.report("backlog").behind(mine, today).count() == 2


@pytest.mark.parametrize("key", reports.REPORTS)
@pytest.mark.parametrize("row", ["", "x", "a|b|c", "9" * 40, "2026-01-01", "'; DROP"])
def test_a_line_that_there_is_not_is_none(db, key, row):
    with suppress(NotFound):
        assert list(reports.report(key).behind(scope(lead(1)), row)) == []


@pytest.mark.parametrize(
    "given_",
    [{"period": "eon"}, {"from": "yesterday"}, {"from": "2026-02-01", "to": "2026-01-01"}, {"from": "2001-01-01", "to": "2026-01-01"}, {"from": "0001-01-01", "to": "0001-01-02"}, {"from": "9999-12-30", "to": "9999-12-31"}, {"zone": "Mars/Olympus"}, {"zone": "../etc/passwd"}],
)  # fmt: skip
def test_a_period_that_makes_no_sense_is_refused(db, given_):
    with pytest.raises(Invalid):
        scope(agent(1), **given_)


@given(
    st.dates(date(2024, 1, 1), date(2027, 12, 31)), st.integers(0, 900), st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "America/Sao_Paulo"])
)  # fmt: skip
def test_the_steps_of_a_period_cover_it_without_gap_or_overlap(first, days, zone):
    user = User(email="x@y.example")
    found = Scope.read(user, {"from": str(first), "to": str(first + timedelta(days=days)), "zone": zone})
    covered = steps(found)
    assert (covered[0][0], covered[-1][1]) == (found.start, found.end)
    assert all(one[1] == other[0] and one[0] < one[1] for one, other in pairwise(covered))
    assert found.before.end == found.start
    assert (found.before.last_day - found.before.first_day).days == days


def test_a_day_is_the_readers(db, time_machine):
    time_machine.move_to(datetime(2026, 11, 25, 23, 30, tzinfo=UTC))
    boss = lead(1)
    ticket(1)
    time_machine.move_to(datetime(2026, 11, 26, 12, 0, tzinfo=UTC))
    assert reports.channels(scope(boss, period="today", zone="UTC")).total == 0
    assert reports.channels(scope(boss, period="today", zone="Europe/Berlin")).total == 1


def test_ratings_and_reopening_are_counted(db):
    from supportdesk import crypto

    by, boss, made = agent(1), lead(1), ticket(1)
    mailboxes.rate(number=made.number, signature=crypto.sign("rate", made.number), score="good")
    actions.resolve(number=made.number, by=by)
    actions.set_status(number=made.number, by=by, status=Status.OPEN)
    assert reports.ratings(scope(boss)).rows[0].cells == ["Good", 1, "100.0 %"]
    assert reports.rates(scope(boss)).rows[0].cells == ["Opened again", 1, 1, "100.0 %"]


# ------------------------------------------------------------------------------------------- pages
@pytest.mark.parametrize("key", reports.REPORTS)
def test_a_report_is_a_page_a_fragment_and_a_file(client, db, key):
    boss = lead(1)
    made = ticket(1, subject='=HYPERLINK("x")')
    actions.reply(number=made.number, by=boss, text="x", then=Status.RESOLVED)
    client.force_login(boss, backend=BACKEND)
    page = client.get(f"/reports/{key}/?period=7d").content.decode()
    assert "<table" in page
    assert "<html" not in client.get(f"/reports/{key}/?period=7d", headers={"HX-Request": "true"}).content.decode()
    text = b"".join(client.get(f"/reports/{key}/export.csv?period=7d").streaming_content).decode()
    assert text.splitlines()[0].count(",") >= 2


def test_tickets_behind_a_line_are_streamed_and_no_cell_is_a_formula(client, db, django_assert_max_num_queries):
    boss = lead(1)
    for n in range(12):
        ticket(1, subject=f'=HYPERLINK("{n}")')
    client.force_login(boss, backend=BACKEND)
    with django_assert_max_num_queries(12):
        answer = client.get("/reports/channels/export.csv?row=email")
        text = b"".join(answer.streaming_content).decode()
    assert len(text.splitlines()) == 13
    assert "'=HYPERLINK" in text
    assert ",'," not in text  # an empty cell is empty


def test_files_are_for_programs_and_pages_for_people(client, db):
    boss, made = lead(1), ticket(1)
    actions.reply(number=made.number, by=boss, text="x", then=Status.RESOLVED)
    client.force_login(boss, backend=BACKEND)

    def lines(key):
        return b"".join(client.get(f"/reports/{key}/export.csv?period=7d").streaming_content).decode().splitlines()

    assert lines("attainment")[0].endswith("Share (%),Median (hours),90 % within (hours)")
    assert float(lines("attainment")[1].split(",")[5]) == 100.0
    assert date.fromisoformat(lines("backlog")[1].split(",")[0])
    page = client.get("/reports/attainment/?period=7d").content.decode()
    assert ">100.0 %</span>" in page
    assert said_change(-2.25, "hours") == "−2 h 15"
    assert (said(2.5, "share"), said_change(3, "count")) == ("2.5 %", "+3")


def test_a_wrong_period_is_a_page_that_says_so(client, db):
    client.force_login(lead(1), backend=BACKEND)
    assert client.get("/reports/?period=eon").status_code == 422
    assert client.get("/reports/nothing/").status_code == 404
    wrong = client.get("/reports/channels/?q=nonsense:xx&from=2026-02-01&to=2026-01-01&zone=UTC")
    assert wrong.status_code == 422
    assert all(typed in wrong.content.decode() for typed in ("nonsense:xx", "2026-02-01", "2026-01-01", "Please check"))
    assert client.get("/reports/channels/export.csv?q=(").status_code == 400
    client.force_login(UserFactory(role="integration"), backend=BACKEND)
    assert client.get("/reports/").status_code == 403


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), max_size=60))
def test_a_chart_stays_within_its_frame(values):
    found = charts.lines(["a", "b"], [(f"day {n}", str(n), pair) for n, pair in enumerate(values)])
    for line in found.lines:
        for point in line.points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= charts.WIDTH
            assert 0 <= y <= charts.HEIGHT
    assert 2 <= len(found.grid) <= 12


@given(st.floats(0, 1e9))
def test_grid_lines_are_few_and_round(most):
    assert most / charts.round_step(most) <= 10
