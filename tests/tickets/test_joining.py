"""Merge, taking it back, and splitting: nothing is lost, doubled, or shown to the wrong person."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connections

from staff.models import Tier
from supportdesk import guide
from supportdesk.errors import Conflict, DeskError, Invalid, NotFound, NotPermitted
from tests.factories import agent, ticket
from tickets import actions
from tickets.actions.conversation import receive
from tickets.actions.life import find_requester
from tickets.models import Clock, MergeRecord, Message, Priority, SLATimer, Status, Ticket, TicketText

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def noon():
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def wrote(made: Ticket, text: str, email: str = "sofia@shop.example"):
    return receive(ticket_id=made.pk, requester=find_requester(email), text=text)


def texts(made: Ticket) -> list[str]:
    return list(made.messages.order_by("id").values_list("text", flat=True))


def fresh(made: Ticket) -> Ticket:
    return Ticket.objects.get(pk=made.pk)


def test_a_merge_moves_all_that_was_said_and_closes_the_source(tier1):
    source, target = ticket(1, text="One"), ticket(1, text="Two")
    actions.set_tags(number=source.number, by=tier1, tags=["vip"])
    actions.watch(number=source.number, by=tier1)
    actions.merge(number=source.number, into=target.number, by=tier1)
    assert texts(target) == ["One", "Two"]
    assert texts(source) == []
    assert (fresh(source).status, fresh(source).merged_into) == (Status.CLOSED, target)
    assert fresh(target).tags == ["vip"]
    assert target.watchers.filter(user=tier1).exists()
    assert TicketText.objects.filter(ticket=target, search="one").exists()
    assert not SLATimer.objects.unstopped().filter(ticket=source).exists()


def test_mail_to_a_merged_ticket_follows_it_over_several_steps(tier1):
    one, two, three = ticket(1, text="One"), ticket(1, text="Two"), ticket(1, text="Three")
    actions.merge(number=one.number, into=two.number, by=tier1)
    actions.merge(number=two.number, into=three.number, by=tier1)
    landed, _ = wrote(one, "More")
    assert landed == three
    assert texts(three)[-1] == "More"


def test_taking_a_merge_back_returns_everything_and_what_came_since_goes_to_its_owner(tier1, noon):
    source, target = ticket(1, text="One"), ticket(1, text="Two", email="karim@shop.example")
    actions.take(number=source.number, by=tier1)
    before = (fresh(source).status, fresh(target).tags)
    noon.shift(HOUR)
    actions.merge(number=source.number, into=target.number, by=tier1)
    wrote(source, "For the source")
    wrote(target, "For the target", "karim@shop.example")
    actions.unmerge(number=source.number, by=tier1)
    assert texts(source) == ["One", "For the source"]
    assert texts(target) == ["Two", "For the target"]
    assert (fresh(source).status, fresh(target).tags) == before
    assert fresh(source).merged_into is None
    assert MergeRecord.objects.get().undone_by == tier1
    with pytest.raises(Conflict):
        actions.unmerge(number=source.number, by=tier1)


def test_merges_in_a_row_are_taken_back_from_the_last(tier1):
    one, two, three = ticket(1, text="One"), ticket(1, text="Two"), ticket(1, text="Three")
    actions.merge(number=one.number, into=two.number, by=tier1)
    actions.merge(number=two.number, into=three.number, by=tier1)
    wrote(one, "For one")
    with pytest.raises(Invalid, match="first"):
        actions.unmerge(number=one.number, by=tier1)
    actions.unmerge(number=two.number, by=tier1)
    assert texts(three) == ["Three"]
    actions.unmerge(number=one.number, by=tier1)
    assert (texts(one), texts(two)) == (["One", "For one"], ["Two"])


def test_the_clock_that_ran_longest_goes_on_and_both_come_back(tier1, noon):
    older = ticket(1)
    noon.shift(HOUR)
    newer = ticket(1)
    noon.shift(HOUR)
    actions.merge(number=older.number, into=newer.number, by=tier1)
    running = SLATimer.objects.unstopped().filter(ticket=newer)
    assert {row.clock: row.started_at for row in running} == {Clock.FIRST_RESPONSE: NOON, Clock.RESOLUTION: NOON}
    assert fresh(newer).due_at == NOON + 3 * HOUR
    noon.shift(HOUR / 2)
    actions.unmerge(number=older.number, by=tier1)
    for made, started in ((older, NOON), (newer, NOON + HOUR)):
        back = SLATimer.objects.unstopped().filter(ticket=made)
        assert {row.clock: row.due_at for row in back} == {
            Clock.FIRST_RESPONSE: started + 3 * HOUR,
            Clock.RESOLUTION: started + 24 * HOUR,
        }


def test_a_reply_between_merge_and_undo_answers_the_one_it_was_sent_on(tier1, noon):
    source, target = ticket(1), ticket(1)
    noon.shift(HOUR)
    actions.merge(number=source.number, into=target.number, by=tier1)
    noon.shift(HOUR)
    actions.reply(number=target.number, by=tier1, text="Here.")
    actions.unmerge(number=source.number, by=tier1)
    assert target.timers.get(clock=Clock.FIRST_RESPONSE).stopped_at == NOON + 2 * HOUR
    assert source.timers.get(clock=Clock.FIRST_RESPONSE).due_at == NOON + 3 * HOUR


def test_a_restricted_ticket_restricts_what_it_is_merged_into_and_the_undo_lifts_it(administrator):
    source, target = ticket(1), ticket(1)
    actions.set_restricted(number=source.number, by=administrator, restricted=True)
    actions.merge(number=source.number, into=target.number, by=administrator)
    with pytest.raises(NotFound):
        actions.note(number=target.number, by=agent(1), text="Peek")
    actions.unmerge(number=source.number, by=administrator)
    assert not fresh(target).restricted
    assert fresh(source).restricted


def test_what_cannot_be_merged_is_refused_in_words(tier1, tier2):
    made, high, done = ticket(1), ticket(2), ticket(1)
    actions.resolve(number=done.number, by=tier1)
    for arguments, error in (
        ({"number": made.number, "into": made.number, "by": tier1}, Invalid),
        ({"number": made.number, "into": high.number, "by": tier1}, NotPermitted),
        ({"number": made.number, "into": done.number, "by": tier1}, Invalid),
        ({"number": made.number, "into": 99_999_999, "by": tier1}, NotFound),
        ({"number": made.number, "into": ticket(1).number, "by": tier1, "version": 99}, Conflict),
    ):
        with pytest.raises(error):
            actions.merge(**arguments)
    actions.merge(number=made.number, into=high.number, by=tier2)
    with pytest.raises(Invalid):
        actions.reopen(number=made.number, by=tier1)
    with pytest.raises(Invalid):
        actions.merge(number=ticket(1).number, into=made.number, by=tier1)


def test_splitting_moves_one_message_to_a_ticket_whose_clock_counts_from_it(tier1, noon):
    made = ticket(1, text="First", priority=Priority.URGENT)
    noon.shift(HOUR)
    _, message = wrote(made, "Something else entirely")
    noon.shift(HOUR)
    other = actions.split(number=made.number, message=message.pk, by=tier1, subject="Else")
    assert (texts(made), texts(other)) == (["First"], ["Something else entirely"])
    assert other.timers.get(clock=Clock.FIRST_RESPONSE).started_at == NOON + HOUR
    assert TicketText.objects.filter(ticket=other, search="entirely").exists()
    assert not TicketText.objects.filter(ticket=made, search="entirely").exists()
    with pytest.raises(Invalid):
        actions.split(number=made.number, message=made.messages.get().pk, by=tier1)
    with pytest.raises(Invalid):
        actions.split(number=made.number, message=message.pk, by=tier1)


@pytest.mark.django_db(transaction=True)
def test_merges_in_both_directions_with_mail_in_between_lose_and_double_nothing(db):
    guide.load()
    boss = agent(3)
    one, two = ticket(1, text="One"), ticket(1, text="Two")
    level = Tier.objects.get(level=1)
    assert one.tier == level

    def run(move) -> None:
        try:
            move()
        except DeskError:
            pass  # refused: the other direction was first
        finally:
            connections.close_all()

    moves = [
        lambda: actions.merge(number=one.number, into=two.number, by=boss),
        lambda: actions.merge(number=two.number, into=one.number, by=boss),
        *[lambda n=n: wrote(one, f"To one {n}") for n in range(5)],
        *[lambda n=n: wrote(two, f"To two {n}") for n in range(5)],
        lambda: actions.unmerge(number=one.number, by=boss),
        lambda: actions.unmerge(number=two.number, by=boss),
    ]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, moves))
    for made in (one, two):
        if fresh(made).merged_into_id:
            actions.unmerge(number=made.number, by=boss)
    assert Message.objects.count() == 12
    assert sorted(texts(one)) == ["One", *[f"To one {n}" for n in range(5)]]
    assert sorted(texts(two)) == [*[f"To two {n}" for n in range(5)], "Two"]


@pytest.mark.django_db(transaction=True)
def test_two_people_escalate_at_once_while_mail_comes_in_and_it_moves_once(db):
    guide.load()
    people, one = [agent(1), agent(1)], ticket(1, text="One")

    def run(move) -> bool:
        try:
            move()
            return True
        except DeskError:
            return False
        finally:
            connections.close_all()

    moves = [lambda p=p: actions.escalate(number=one.number, by=p, handover=f"Tried by {p.pk}") for p in people]
    moves += [lambda n=n: wrote(one, f"Mail {n}") for n in range(6)]
    moves += [lambda: actions.note(number=one.number, by=people[0], text="A note")]
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(run, moves))
    assert sum(done[:2]) == 1  # the second one is told that it is with tier 2 already
    assert all(done[2:])
    assert fresh(one).tier.level == 2
    assert one.handovers.count() == 1
    requester = one.messages.filter(kind="requester").values_list("text", flat=True)
    assert sorted(requester) == [*[f"Mail {n}" for n in range(6)], "One"]
    assert one.timers.filter(clock="tier_response", stopped_at=None).count() == 1
