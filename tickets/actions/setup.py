"""The guide's categories and mailboxes."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from staff.models import Tier
from tickets.models import Category, Mailbox


@transaction.atomic
def load_categories(*, categories: Sequence[dict[str, Any]]) -> None:
    for position, row in enumerate(categories):
        Category.objects.update_or_create(slug=row["slug"], defaults={"name": row["name"], "position": position})


@transaction.atomic
def load_mailboxes(*, mailboxes: Sequence[dict[str, Any]]) -> None:
    tiers = {tier.level: tier for tier in Tier.objects.all()}
    for row in mailboxes:
        Mailbox.objects.update_or_create(
            name=row["name"],
            defaults={
                "address": row["address"],
                "display_name": row["display_name"],
                "tier": tiers[row["tier"]],
                "priority": row["priority"],
            },
        )
