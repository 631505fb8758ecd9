"""Companies and departments that requesters belong to."""

import re
from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.db.models import Value
from django.db.models.functions import Lower, StrIndex, Substr

from staff import actions as staff
from staff.models import User
from staff.policies import check_is_administrator
from supportdesk.errors import Invalid, NotFound
from supportdesk.text import clean, one_line
from tickets.actions import jobs
from tickets.models import Organization, Requester

_DOMAIN = re.compile(r"(?=.{3,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


@transaction.atomic
def save_organization(
    *, by: User, name: str, domains: Sequence[str], notes: str = "", pk: int | None = None
) -> Organization:
    """Make or change an organisation. Requesters of its domains who belong nowhere join it; their clocks follow."""
    check_is_administrator(by)
    found = Organization.objects.select_for_update().filter(pk=pk).first() if pk else Organization()
    if found is None:
        raise NotFound("There is no such organisation.")
    wanted = sorted({domain.strip().lower().removeprefix("@") for domain in domains})
    if wrong := [domain for domain in wanted if not _DOMAIN.fullmatch(domain)]:
        raise Invalid(
            f"{wrong[0][:80]!r} is not a domain; write it as acme.example.", fields={"domains": ["Not a domain."]}
        )
    if taken := Organization.objects.exclude(pk=found.pk).filter(domains__overlap=wanted).first():
        raise Invalid(f"A domain of these belongs to {taken} already.", fields={"domains": [f"Belongs to {taken}."]})
    before = {"name": found.name, "domains": list(found.domains)} if pk else None
    found.name, found.domains, found.notes = one_line(name, most=120), wanted, clean(notes)
    if not found.name:
        raise Invalid("An organisation needs a name.", fields={"name": ["Write something here."]})
    try:
        with transaction.atomic():
            found.save()
    except IntegrityError:
        raise Invalid("There is an organisation of that name.", fields={"name": ["It exists already."]}) from None
    staff.audit(
        by=by,
        action="organization.saved",
        thing=f"organisation {found}",
        before=before,
        after={"name": found.name, "domains": wanted},
    )
    domain = Lower(Substr("email", StrIndex("email", Value("@")) + 1))
    joined = Requester.objects.filter(organization=None).annotate(domain=domain).filter(domain__in=wanted)
    if joined.update(organization=found):
        jobs.recompute_clocks(by=by, title=f"Clocks follow the organisation {found}")
    return found
