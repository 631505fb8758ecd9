"""The guide's categories and mailboxes, and what administrators make of them; loading again leaves their edits."""

import re
from collections.abc import Sequence
from typing import Any

from django.db import transaction

from staff import actions as staff
from staff.models import Tier, User
from staff.policies import check_is_administrator
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import one_line
from tickets.models import Category, Mailbox
from tickets.sla import rules


@transaction.atomic
def load_categories(*, categories: Sequence[dict[str, Any]]) -> None:
    for position, row in enumerate(categories):
        Category.objects.get_or_create(slug=row["slug"], defaults={"name": row["name"], "position": position})


@transaction.atomic
def load_mailboxes(*, mailboxes: Sequence[dict[str, Any]]) -> None:
    tiers = {tier.level: tier for tier in Tier.objects.all()}
    for row in mailboxes:
        Mailbox.objects.get_or_create(
            name=row["name"],
            defaults={
                "address": row["address"],
                "display_name": row["display_name"],
                "tier": tiers[row["tier"]],
                "priority": row["priority"],
            },
        )


@transaction.atomic
def save_tier(*, by: User, **tier: Any) -> Tier:
    """Change a tier (`staff.actions.save_tier`), and have every process read the tiers anew."""
    saved = staff.save_tier(by=by, **tier)
    rules.bump()
    return saved


@transaction.atomic
def save_category(*, by: User, name: str, slug: str = "", position: int = 0, pk: int | None = None) -> Category:
    """Make or rename a category; its slug stays, articles and rules name it."""
    check_is_administrator(by)
    found = Category.objects.select_for_update().filter(pk=pk).first() if pk else Category(slug=slug.strip().lower())
    if found is None:
        raise NotFound("There is no such category.")
    before = {"name": found.name, "position": found.position} if pk else None
    found.name, found.position = one_line(name, most=80), position
    if not found.name:
        raise Invalid("A category needs a name.", fields={"name": ["Write something here."]})
    if pk is None and (not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", found.slug) or len(found.slug) > 50):
        words = "Write lower case letters, digits and hyphens, for example lost-parcels."
        raise Invalid(words, fields={"slug": [words]})
    if Category.objects.exclude(pk=found.pk).filter(slug=found.slug).exists():
        raise Invalid("There is a category of that slug.", fields={"slug": ["It exists already."]})
    found.save()
    after = {"name": found.name, "position": position}
    staff.audit(by=by, action="category.saved", thing=f"category {found.slug}", before=before, after=after)
    rules.bump()
    return found
