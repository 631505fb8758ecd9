"""Telling people: in the desk, in their browser, by mail at once or once a day, as each of them wants it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, time, timedelta
from email.utils import format_datetime
from smtplib import SMTPRecipientsRefused
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, models, transaction
from django.template.loader import render_to_string
from django.utils import timezone

from staff import notices
from staff.models import Mailing, Mute, NoticeChoice, Notification, User, place_of, thing_at
from supportdesk import events, outbox
from supportdesk.errors import Invalid, NotFound

MOST_IN_ONE_MAIL = 100
MISSED = timedelta(minutes=2)
_MAILING = 73_015


def notify(told: Iterable[Notification]) -> int:
    """Tell people, each thing once a person (`key`), as they want that kind; what nobody wants to hear is not kept.

    Open pages learn of it when the transaction commits. Returns how many notifications were kept.
    """
    rows = list(told)
    if not rows:
        return 0
    now = timezone.now()
    kept = _as_wanted(rows, now)
    Notification.objects.bulk_create(kept, ignore_conflicts=True, batch_size=1000)
    for row in sorted(kept, key=lambda one: (one.user_id, one.key)):  # in one order, so that two never wait in a circle
        if row.mail_at is not None:
            key = (
                f"notice:{row.user_id}:{row.key}"
                if row.mail_at <= now
                else f"notices:{row.user_id}:{row.mail_at.timestamp():.0f}"
            )
            outbox.put("staff.mail_notices", row.user_id, key=key, not_before=row.mail_at)
    events.publish_all(
        *((f"notifications.{user_id}", {"kind": "changed"}) for user_id in {row.user_id for row in kept})
    )
    return len(kept)


def _as_wanted(rows: list[Notification], now: datetime) -> list[Notification]:
    """Those that somebody wants, with where they show and when they are mailed."""
    users = {user.pk: user for user in User.objects.filter(pk__in={row.user_id for row in rows}, is_active=True)}
    choices = {
        (one.user_id, one.kind): one
        for one in NoticeChoice.objects.filter(user__in=users, kind__in={row.kind for row in rows})
    }
    for row in rows:
        row.about = row.about or place_of(row.url)
    muted = set(Mute.objects.filter(user__in=users, about__in={row.about for row in rows}).values_list("user", "about"))
    kept = []
    for row in rows:
        kind = notices.OF.get(row.kind, notices.OTHER)
        user, choice = users.get(row.user_id), choices.get((row.user_id, row.kind))
        if user is None or ((row.user_id, row.about) in muted and not kind.direct):
            continue
        centre, popup, mail = (choice.centre, choice.popup, choice.mail) if choice else (True, kind.popup, kind.mail)
        if not centre and not popup and mail == Mailing.NEVER:
            continue
        row.shown, row.read_at = centre, None if centre else now
        loud = notices.next_loud(user, now)
        row.popup = popup and loud == now
        row.mail_at = {Mailing.DIGEST: notices.next_digest(user, now), Mailing.AT_ONCE: loud}.get(Mailing(mail))
        kept.append(row)
    return kept


def notify_test(*, by: User) -> int:
    """Tell somebody that this is a test, the way they get that kind."""
    key = f"test:{timezone.now().timestamp()}"
    reason = "Because you asked for it"
    return notify([Notification(user=by, kind="test", text="This is a test", reason=reason, key=key)])


# -------------------------------------------------------------------------------------------- reading
def open_notice(*, by: User, pk: int) -> Notification:
    """Mark one of the reader's own as read, because they go where it leads."""
    row = Notification.objects.filter(user=by, pk=pk).first()
    if row is None:
        raise NotFound("This notification is gone.")
    _read(by, Notification.objects.filter(pk=pk))
    return row


def mark_read(*, by: User, pk: int | None = None) -> int:
    """Mark one, or all notifications of the reader as read."""
    rows = Notification.objects.filter(user=by)
    return _read(by, rows if pk is None else rows.filter(pk=pk))


def mark_about_read(*, by: User, about: str) -> int:
    """Mark what is about a thing as read: its reader looks at the thing itself."""
    return _read(by, Notification.objects.filter(user=by, about=about))


@transaction.atomic
def _read(by: User, rows: "models.QuerySet[Notification]") -> int:
    changed = rows.filter(read_at=None).update(read_at=timezone.now())
    if changed:
        events.publish(f"notifications.{by.pk}", "read")
    return changed


# --------------------------------------------------------------------------------------------- muting
@transaction.atomic
def mute(*, by: User, about: str) -> Mute:
    """Tell the reader no more about a thing, and take what they were told of it as read."""
    if not about.startswith("/") or len(about) > 200:
        raise Invalid("There is nothing to mute here.")
    made, _ = Mute.objects.get_or_create(user=by, about=about)
    Notification.objects.filter(user=by, about=about, mail_at__isnull=False).update(mail_at=None)
    mark_about_read(by=by, about=about)
    return made


@transaction.atomic
def unmute(*, by: User, about: str) -> None:
    """Tell the reader again."""
    Mute.objects.filter(user=by, about=about).delete()


@transaction.atomic
def save_notice_settings(
    *,
    by: User,
    choices: Mapping[str, tuple[bool, bool, Mailing]],
    mails_wanted: bool,
    quiet_from: time | None,
    quiet_until: time | None,
    quiet_weekends: bool,
    digest_at: time,
) -> None:
    """How somebody wants each kind (in the desk, in the browser, by mail), and when it must be quiet.

    `mails_wanted` sends what requesters write on one's tickets as mail that can be answered.
    """
    if (quiet_from is None) != (quiet_until is None):
        words = "Write both times of quiet, or neither."
        raise Invalid(words, fields={"quiet_until" if quiet_until is None else "quiet_from": [words]})
    NoticeChoice.objects.filter(user=by).delete()
    NoticeChoice.objects.bulk_create(
        NoticeChoice(user=by, kind=slug, centre=centre, popup=popup, mail=mail)
        for slug, (centre, popup, mail) in choices.items()
        if slug in notices.OF and (centre, popup, mail) != (True, notices.OF[slug].popup, notices.OF[slug].mail)
    )
    by.mails_wanted, by.quiet_weekends, by.digest_at = mails_wanted, quiet_weekends, digest_at
    by.quiet_from, by.quiet_until = quiet_from, quiet_until
    by.save(update_fields=["mails_wanted", "quiet_from", "quiet_until", "quiet_weekends", "digest_at"])


# ------------------------------------------------------------------------------------------- by mail
@outbox.handler("staff.mail_notices")
def mail_notices(user_id: int) -> None:
    """Mail somebody what is due and was not read meanwhile, as one message.

    One worker at a time does it for a person, without holding their notifications; a crash after the server took the
    mail sends it again under the same Message-ID.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [_MAILING, user_id])
            if not cursor.fetchone()[0]:
                raise outbox.Later
        now = timezone.now()
        due = list(Notification.objects.filter(user=user_id, mail_at__lte=now).order_by("id"))
        user = User.objects.filter(pk=user_id, is_active=True).first()
        fresh = [row for row in due if row.read_at is None or not row.shown]
        refused = _sent(user, fresh) if user is not None and fresh else ""
        Notification.objects.filter(pk__in=[row.pk for row in due]).update(
            mail_at=None, mailed_at=None if refused else now
        )
    if refused:
        raise outbox.GiveUp(refused)


def _sent(user: User, rows: list[Notification]) -> str:
    """Send them; returns what a server said that will never take mail for this address."""
    try:
        _message(user, rows).send()
    except SMTPRecipientsRefused as error:
        return str(error)[:300]
    return ""


def sweep_notices() -> int:
    """Ring for what is due by mail and was missed: its moment came before its transaction had ended."""
    now = timezone.now()
    due = Notification.objects.filter(mail_at__lte=now - MISSED).values_list("user", flat=True).distinct()[:500]
    for user_id in due:
        outbox.put("staff.mail_notices", user_id, key=f"notices:{user_id}:missed:{now.timestamp():.0f}")
    return len(due)


def _message(user: User, rows: list[Notification]) -> EmailMessage:
    subject = rows[0].text if len(rows) == 1 else f"{len(rows)} notifications"
    about = rows[0].about if len(rows) == 1 else ""
    words = {
        "rows": rows[:MOST_IN_ONE_MAIL],
        "more": max(0, len(rows) - MOST_IN_ONE_MAIL),
        "base": settings.BASE_URL,
        "thing": thing_at(about),
        "mute_url": notices.mute_address(user.pk, about) if about else "",
    }
    return EmailMessage(
        subject=" ".join(subject.split())[:200],
        body=_in_zone_of(user, words),
        to=[user.email],
        headers={
            "Message-ID": f"<notices-{user.pk}-{rows[0].pk}-{rows[-1].pk}@{settings.MAIL_DOMAIN}>",
            "Date": format_datetime(timezone.now()),
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            **notices.one_click(str(words["mute_url"])),
        },
    )


def _in_zone_of(user: User, words: dict[str, Any]) -> str:
    with timezone.override(ZoneInfo(user.time_zone)):
        return render_to_string("staff/mail/notices.txt", words)
