"""The kinds of notification, what people get of each unless they say otherwise, and when it must be quiet."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core import signing
from django.urls import reverse

from staff.models import Mailing, User


@dataclass(frozen=True)
class Kind:
    """One kind: `direct` ones are meant for the reader alone, so that a mute of the ticket does not hide them."""

    slug: str
    label: str
    words: str
    popup: bool = False
    direct: bool = False
    mail: Mailing = Mailing.NEVER


KINDS = (
    Kind("reply", "A requester wrote", "On a ticket that is yours or that you watch.", popup=True),
    Kind("note", "A colleague wrote", "A reply or a note on a ticket that is yours or that you watch."),
    Kind("mention", "Somebody named you", "A note that names you with @.", popup=True, direct=True),
    Kind("assigned", "A ticket became yours", "Somebody else, or a rule, gave it to you.", popup=True, direct=True),
    Kind("sla.warning", "A clock runs out soon", "On your tickets, and where a policy says so.", popup=True),
    Kind("sla.breach", "A clock ran out", "On your tickets, and where a policy says so.", popup=True),
    Kind("ticket.deadline", "A deadline passed", "On a ticket that is yours or that you watch."),
    Kind("ticket.woke", "A snooze is over", "On a ticket that is yours or that you snoozed."),
    Kind("ticket.approval", "Approvals of tickets", "You are asked, or what you asked for was answered.", popup=True, direct=True),
    Kind("ticket.rule", "A rule tells you", "What rules and macros are set to say."),
    Kind("run", "Runs and schedules", "Runs that ended or wait, approvals of runs, schedules that failed.", popup=True),
    Kind("reply.held", "A reply of yours did not leave", "It waits for you to look at it.", popup=True, direct=True),
    Kind("mail.bounced", "Mail that did not arrive", "Yours, or on a ticket that is yours."),
    Kind("report", "Reports by mail", "A report that was to be mailed could not be."),
    Kind("test", "Tests of this page", "What the button below sends.", popup=True, direct=True),
)  # fmt: skip
OF = {kind.slug: kind for kind in KINDS}
OTHER = Kind("other", "Everything else", "")


def mute_link(user_id: int, place: str) -> str:
    """The path of a page that mutes a thing for somebody, for their mail: whoever has it can do just that."""
    return reverse("mute_by_mail", args=[signing.dumps([user_id, place], salt="mute", compress=True)])


def mute_address(user_id: int, place: str) -> str:
    """The whole address of that page."""
    return f"{settings.BASE_URL}{mute_link(user_id, place)}"


def one_click(url: str) -> dict[str, str]:
    """The headers by which a mail program mutes with one click (RFC 8058); none without an address."""
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if url else {}


def of_mute_link(token: str) -> tuple[int, str]:
    """Whose mute of what a link asks for. Raises `signing.BadSignature`."""
    user_id, place = signing.loads(token, salt="mute")
    return int(user_id), str(place)


def next_loud(user: User, now: datetime) -> datetime:
    """The first moment from `now` on that is outside somebody's quiet hours; `now` itself where it is not quiet."""
    zone = ZoneInfo(user.time_zone)
    at = now.astimezone(zone)
    for _ in range(4):  # a night, a weekend and the night after it at most
        later = _quiet_end(user, at, zone)
        if later is None:
            break
        at = later
    return at.astimezone(now.tzinfo) if at.tzinfo != now.tzinfo else at


def _quiet_end(user: User, at: datetime, zone: ZoneInfo) -> datetime | None:
    """When the quiet that `at` lies in ends; None where it lies in none."""
    if user.quiet_weekends and at.weekday() >= 5:
        return datetime.combine(at.date() + timedelta(days=7 - at.weekday()), time(0), zone)
    begin, end = user.quiet_from, user.quiet_until
    if begin is None or end is None or begin == end:
        return None
    now = at.time()
    if begin < end:
        return datetime.combine(at.date(), end, zone) if begin <= now < end else None
    if now >= begin:
        return datetime.combine(at.date() + timedelta(days=1), end, zone)
    return datetime.combine(at.date(), end, zone) if now < end else None


def next_digest(user: User, now: datetime) -> datetime:
    """When the next mail leaves that sums up, outside quiet hours."""
    zone = ZoneInfo(user.time_zone)
    at = now.astimezone(zone)
    today = datetime.combine(at.date(), user.digest_at, zone)
    due = today if today > at else datetime.combine(at.date() + timedelta(days=1), user.digest_at, zone)
    return next_loud(user, due)
