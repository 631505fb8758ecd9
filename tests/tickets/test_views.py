"""Views of the queue that people keep."""

import pytest

from supportdesk.errors import Invalid, NotFound, NotPermitted
from tests.factories import UserFactory, agent, lead, ticket
from tickets import actions, queries
from tickets.actions import saved_views
from tickets.models import Priority, SavedView, Ticket
from tickets.queries import views
from tickets.queries.queue import COLUMNS, GROUPS, VIEWS
from tickets.query.compile import Compiler
from tickets.query.language import FIELDS, VALUES, parse

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def shown(user, **asked):
    return [row.number for row in queries.queue(user, queries.Filters.read(asked, user)).page]


def test_a_view_is_a_query_and_what_is_typed_narrows_it(db):
    by = agent(2)
    urgent, low = ticket(1, priority=Priority.URGENT, subject="Printer"), ticket(1, priority=Priority.LOW)
    other = ticket(1, priority=Priority.URGENT, subject="Mouse")
    kept = saved_views.save_view(by=by, name="Hot", query="priority:urgent OR tag:hot", sort="-number")
    assert shown(by, saved=str(kept.pk)) == [other.number, urgent.number]
    assert shown(by, saved=str(kept.pk), q="printer") == [urgent.number]
    assert shown(by, saved=str(kept.pk), q="priority:low OR subject:mouse") == [other.number]
    assert low.number not in shown(by, saved=str(kept.pk))
    assert views.counts_of(by) == [(kept, "2")]


def test_a_view_of_another_is_none_of_mine_and_one_for_all_shows_what_each_may_see(db):
    by, boss = agent(1), lead(1)
    mine = saved_views.save_view(by=by, name="Mine", query="is:open")
    alls = saved_views.save_view(by=boss, name="All", query="is:open", for_all=True)
    other = agent(1)
    assert views.views_of(other) == [alls]
    assert queries.Filters.read({"saved": str(mine.pk)}, other).ignored == (f"saved:{mine.pk}",)
    for act in (lambda: saved_views.delete_view(by=other, pk=mine.pk), lambda: views.view(other, mine.pk)):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(NotPermitted):
        saved_views.save_view(by=other, pk=alls.pk, name="All", query="")
    with pytest.raises(NotPermitted):
        saved_views.save_view(by=UserFactory(role="integration"), name="x", query="")
    made = ticket(1)
    Ticket.objects.update(restricted=True)
    assert made.number in shown(boss, saved=str(alls.pk))
    assert shown(other, saved=str(alls.pk)) == []


@pytest.mark.parametrize("values", [{"name": " "}, {"query": "is:nonsense"}, {"query": "(is:open"}, {"name": "There"}])
def test_a_view_that_makes_no_sense_is_refused(db, values):
    by = agent(1)
    saved_views.save_view(by=by, name="There", query="")
    with pytest.raises(Invalid):
        saved_views.save_view(by=by, **{"name": "New", "query": "is:open"} | values)


def test_a_view_whose_query_makes_no_sense_any_more_breaks_no_page(client, db):
    by = agent(1)
    kept = saved_views.save_view(by=by, name="Old", query="is:open")
    SavedView.objects.update(query="field.gone:1 (")
    assert views.counts_of(by) == [(kept, "")]
    client.force_login(by, backend=BACKEND)
    assert "not understood" in client.get(f"/tickets/?saved={kept.pk}").content.decode()


@pytest.mark.parametrize("view", VIEWS)
def test_every_named_view_can_be_kept_and_shows_the_same(db, view):
    by = agent(1)
    for n, status in enumerate(("open", "resolved", "waiting_on_requester")):
        made = ticket(1, subject=f"T{n}")
        actions.take(number=made.number, by=by)
        if status != "open":
            actions.set_status(number=made.number, by=by, status=status)
    ticket(1)
    filters = queries.Filters.read({"view": view}, by)
    kept = saved_views.save_view(by=by, name="Kept", query=views.as_query(filters))
    assert sorted(shown(by, saved=str(kept.pk))) == sorted(shown(by, view=view))


def test_what_is_narrowed_further_is_kept_too(db):
    by = agent(1)
    filters = queries.Filters.read({"view": "mine", "tier": "1", "q": "a OR b"}, by)
    assert views.as_query(filters) == "is:mine -is:snoozed tier:1 (a OR b)"


def test_groups_and_columns_are_those_of_the_view(client, db):
    by = agent(1)
    ticket(1, tags=["vip"]), ticket(1, priority=Priority.URGENT)
    kept = saved_views.save_view(by=by, name="Kept", query="", group="priority", columns=["tags", "organization"])
    page = queries.queue(by, queries.Filters.read({"saved": str(kept.pk)}, by))
    assert {heading for _, heading, _ in page.groups} == {"Normal", "Urgent"}
    client.force_login(by, backend=BACKEND)
    html = client.get(f"/tickets/?saved={kept.pk}").content.decode()
    assert ">Organisation</th>" in html
    assert 'class="c-sla"' not in html
    assert (
        'class="c-sla"'
        not in client.get(f"/tickets/rows/?saved={kept.pk}&numbers={page.page[0].number}").content.decode()
    )


@pytest.mark.parametrize("group", [name for name in GROUPS if name != "none"])
def test_every_group_has_headings(db, group):
    by = agent(1)
    ticket(1)
    page = queries.queue(by, queries.Filters.read({"group": group}, by))
    assert all(heading for _, heading, _ in page.groups)


def test_a_view_with_every_column_costs_no_more_for_more_rows(client, db, django_assert_max_num_queries):
    by = agent(1)
    for n in range(30):
        ticket(1, email=f"p{n}@shop.example")
    kept = saved_views.save_view(by=by, name="Kept", query="", columns=list(COLUMNS))
    client.force_login(by, backend=BACKEND)
    with django_assert_max_num_queries(14):
        client.get(f"/tickets/?saved={kept.pk}")


def test_all_that_match_of_a_view_are_changed_together(client, db):
    by = agent(1)
    made, other = ticket(1, priority=Priority.URGENT), ticket(1)
    kept = saved_views.save_view(by=by, name="Hot", query="priority:urgent")
    client.force_login(by, backend=BACKEND)
    page = client.get("/tickets/bulk/", {"all": "1", "in-saved_key": str(kept.pk), "in-view": "all"}).content.decode()
    assert str(made.number) in page
    assert str(other.number) not in page


def test_what_the_box_completes_can_be_asked(db):
    by = agent(1)
    found = views.query_words(by)
    assert set(found) == set(FIELDS)
    for name, values in VALUES.items():
        for value in values:
            Compiler(by, notes=True).check(parse(f"{name}:{value}"))
    assert by.email in found["assignee"]


def test_views_are_kept_by_their_page(client, db):
    by = agent(1)
    client.force_login(by, backend=BACKEND)
    page = client.get("/views/new/?view=mine&q=printer").content.decode()
    assert "is:mine -is:snoozed printer" in page
    answer = client.post("/views/new/", {"name": "Printers", "query": "is:mine printer", "columns": ["who", "sla"]})
    kept = SavedView.objects.get()
    assert answer["Location"] == f"/tickets/?saved={kept.pk}"
    assert "Printers" in client.get("/views/").content.decode()
    assert client.post(f"/views/{kept.pk}/", {"name": "", "query": ""}).status_code == 422
    assert client.post(f"/views/{kept.pk}/delete/").status_code == 302
