"""`manage.py sla_due --calendar SLUG --start ISO8601 --minutes N [--pause ISO/ISO …] [--json]`: when a clock is due."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, CommandParser

from staff import business_time, calendars
from supportdesk.errors import DeskError


class Command(BaseCommand):
    help = (
        "Print when a number of business minutes is used up. Times are ISO 8601; one without an offset is "
        "wall-clock time of the calendar's zone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--calendar", required=True, metavar="SLUG")
        parser.add_argument("--start", required=True, metavar="ISO8601")
        parser.add_argument("--minutes", required=True, metavar="N", help="business minutes, 0 or more")
        parser.add_argument(
            "--pause", action="append", nargs="+", default=[], metavar="ISO/ISO", help="a pause; may be repeated"
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            calendar = calendars.find(options["calendar"])
        except DeskError as error:
            raise CommandError(str(error), returncode=2) from None
        assert calendar.current_id is not None  # noqa: S101 - find gives only calendars in force
        clock = calendars.business_time(calendar.current_id)
        start = _moment(options["start"], clock.zone, "--start")
        pauses = [_pause(text, clock.zone) for texts in options["pause"] for text in texts]
        try:
            found = business_time.due(clock, start, _minutes(options["minutes"]), pauses)
        except (business_time.NeverOpens, OverflowError, ValueError) as error:
            raise CommandError(f"no due time: {error}", returncode=2) from None
        text = found.astimezone(UTC).isoformat().replace("+00:00", "Z")
        self.stdout.write(json.dumps({"due_at": text}) if options["json"] else text)


def _moment(text: str, zone: ZoneInfo, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{name}: {text!r} is not ISO 8601; write it as 2026-03-02T09:00:00Z", returncode=2
        ) from None
    try:
        if found.tzinfo is not None:
            return found.astimezone(UTC)
        return business_time.moment(business_time.instant(zone, found))
    except (OverflowError, ValueError):
        raise CommandError(f"{name}: {text!r} is out of range", returncode=2) from None


def _pause(text: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    begins, slash, ends = text.partition("/")
    if not slash:
        raise CommandError(f"--pause: {text!r} is not two times with a slash between them", returncode=2)
    pause = _moment(begins, zone, "--pause"), _moment(ends, zone, "--pause")
    if pause[1] < pause[0]:
        raise CommandError(f"--pause: {text!r} ends before it begins", returncode=2)
    return pause


def _minutes(text: str) -> timedelta:
    try:
        number = Decimal(text)
        if not number.is_finite() or number < 0:
            raise InvalidOperation
        return timedelta(microseconds=int(number * 60_000_000))
    except (InvalidOperation, OverflowError):
        raise CommandError(f"--minutes: {text!r} is not a number of minutes, 0 or more", returncode=2) from None
