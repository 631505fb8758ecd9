"""Rows for tests, made by the product's own actions where there is one."""

from typing import Any

import factory
from factory.django import DjangoModelFactory

from staff.models import Membership, MembershipRole, Tier, User
from tickets import actions
from tickets.models import Channel, Priority, Ticket


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User

    name = factory.Faker("name")
    email = factory.Sequence(lambda n: f"person{n}@desk.example")
    role = "staff"
    password = "!"
    undo_seconds = 0  # what tests send leaves at once; those of taking back say otherwise


def agent(level: int, **fields: Any) -> User:
    user = UserFactory(**fields)
    Membership.objects.create(user=user, tier=Tier.objects.get(level=level))
    return user


def lead(*levels: int) -> User:
    user = UserFactory()
    for level in levels:
        Membership.objects.create(user=user, tier=Tier.objects.get(level=level), role=MembershipRole.LEAD)
    return user


def ticket(
    level: int = 1, *, priority: Priority = Priority.NORMAL, subject: str = "Help", text: str = "It broke.", **more: Any
) -> Ticket:
    made, _ = actions.open_ticket(
        by=None,
        requester_email=more.pop("email", "sofia@shop.example"),
        requester_name="Sofia Marin",
        subject=subject,
        text=text,
        tier=Tier.objects.get(level=level),
        priority=priority,
        channel=Channel.EMAIL,
        **more,
    )
    return made
