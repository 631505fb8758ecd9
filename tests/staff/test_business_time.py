"""The edges of business time, by hand; `tests/tickets/test_clock_oracle.py` has the random histories."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staff import calendar_file
from staff.business_time import BusinessTime, NeverOpens, due
from supportdesk.errors import Invalid

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


def office(zone="Europe/Berlin", hours=None, holidays=None):
    hours = hours or {day: ["09:00-17:00"] for day in ("mon", "tue", "wed", "thu", "fri")}
    return calendar_file.business_time(
        calendar_file.check({"slug": "x", "name": "X", "zone": zone, "hours": hours, "holidays": holidays or {}})
    )


def at(text, zone="Europe/Berlin"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def test_due_is_the_days_end_not_the_next_opening():
    assert office().add(at("2026-03-02T16:00"), HOUR) == at("2026-03-02T17:00")
    assert office().add(at("2026-03-02T16:00"), HOUR + timedelta(seconds=1)) == at("2026-03-03T09:00:01")


def test_a_weekend_and_a_night_count_nothing():
    assert office().add(at("2026-03-06T16:30"), HOUR) == at("2026-03-09T09:30")
    assert office().between(at("2026-03-06T17:00"), at("2026-03-09T09:00")) == timedelta(0)


def test_a_start_outside_the_hours_counts_from_the_opening():
    assert office().add(at("2026-03-07T12:00"), MINUTE) == at("2026-03-09T09:01")


def test_no_time_at_all_is_due_at_once():
    assert office().add(at("2026-03-07T12:00"), timedelta(0)) == at("2026-03-07T12:00")


def test_several_windows_a_day():
    split = office(hours={"mon": ["09:00-12:00", "13:00-17:00"]})
    assert split.add(at("2026-03-02T11:30"), HOUR) == at("2026-03-02T13:30")


def test_windows_that_overlap_count_once():
    twice = office(hours={"mon": ["09:00-12:00", "11:00-13:00"]})
    assert twice.between(at("2026-03-02T00:00"), at("2026-03-03T00:00")) == 4 * HOUR


def test_a_shift_across_midnight_counts_on_both_days():
    night = office(hours={"sat": ["22:00-02:00"]})
    assert night.between(at("2026-03-07T00:00"), at("2026-03-09T00:00")) == 4 * HOUR
    assert night.add(at("2026-03-07T23:30"), HOUR) == at("2026-03-08T00:30")


@pytest.mark.parametrize(("closed", "hours"), [("2026-03-07", 2), ("2026-03-08", 2)])
def test_a_holiday_closes_its_own_date_of_a_shift_across_midnight(closed, hours):
    night = office(hours={"sat": ["22:00-02:00"]}, holidays={"extra": [closed]})
    assert night.between(at("2026-03-07T00:00"), at("2026-03-09T00:00")) == hours * HOUR


def test_an_hour_is_really_an_hour_on_the_days_on_which_the_clocks_change():
    whole = office(hours={"sun": ["00:00-24:00"]})
    assert whole.between(at("2026-03-29T00:00"), at("2026-03-30T00:00")) == 23 * HOUR
    assert whole.between(at("2026-10-25T00:00"), at("2026-10-26T00:00")) == 25 * HOUR


def test_an_edge_inside_a_gap_is_the_end_of_the_gap():
    gap = office(hours={"sun": ["02:30-04:00"]})
    assert gap.add(at("2026-03-29T00:00"), MINUTE) == datetime(2026, 3, 29, 1, 1, tzinfo=UTC)
    assert office(hours={"sun": ["02:10-02:50", "09:00-10:00"]}).add(at("2026-03-29T00:00"), MINUTE) == at(
        "2026-03-29T09:01"
    )


def test_an_edge_inside_a_fold_is_its_first_occurrence():
    fold = office(hours={"sun": ["02:30-04:00"]})
    assert fold.between(at("2026-10-25T00:00"), at("2026-10-26T00:00")) == 2.5 * HOUR
    assert fold.add(at("2026-10-25T00:00"), MINUTE) == datetime(2026, 10, 25, 0, 31, tzinfo=UTC)


def test_a_midnight_that_does_not_exist_begins_the_day_later():
    brazil = office("America/Sao_Paulo", hours={"sun": ["00:00-24:00"]})
    assert (
        brazil.between(at("2018-11-03T12:00", "America/Sao_Paulo"), at("2018-11-05T12:00", "America/Sao_Paulo"))
        == 23 * HOUR
    )


def test_a_date_that_a_zone_skipped_has_no_time():
    apia = BusinessTime(ZoneInfo("Pacific/Apia"), {day: [(540, 1020)] for day in range(7)})
    assert apia.day(date(2011, 12, 30)) == ()


def test_public_holidays_of_a_part_of_a_country_and_by_hand():
    berlin = office(holidays={"country": "DE", "subdivision": "BE", "extra": ["2026-12-24"], "except": ["2026-05-14"]})
    assert not berlin.is_open(at("2026-05-01T12:00"))
    assert not berlin.is_open(at("2026-12-24T12:00"))
    assert berlin.is_open(at("2026-05-14T12:00"))
    assert berlin.is_open(at("2026-06-04T12:00"))  # Corpus Christi is a holiday elsewhere in Germany


def test_round_the_clock_with_holidays_closes_them():
    always = calendar_file.business_time(
        calendar_file.check({"slug": "x", "name": "X", "zone": "Asia/Kolkata", "holidays": {"extra": ["2026-03-03"]}})
    )
    assert always.add(at("2026-03-02T23:00", "Asia/Kolkata"), 2 * HOUR) == at("2026-03-04T01:00", "Asia/Kolkata")


def test_pauses_in_any_order_and_over_one_another():
    start = at("2026-03-02T09:00")
    pauses = [(at("2026-03-02T13:00"), at("2026-03-02T14:00")), (at("2026-03-02T10:00"), at("2026-03-02T13:30"))]
    assert due(office(), start, 2 * HOUR, pauses) == at("2026-03-02T15:00")
    assert due(office(), start, HOUR, pauses) == at("2026-03-02T10:00")


def test_a_calendar_that_stays_closed_says_so():
    with pytest.raises(NeverOpens):
        BusinessTime(BERLIN, {0: [(540, 600)]}, lambda day: True).add(at("2026-03-02T09:00"), MINUTE)


@given(
    start=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
    seconds=st.integers(0, 60 * 60 * 24 * 40),
    zone=st.sampled_from(
        ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Havana"]
    ),
)
def test_between_undoes_add(start, seconds, zone):
    calendar = office(
        zone, hours={"mon": ["09:00-12:30", "13:15-17:00"], "fri": ["20:00-03:00"], "sun": ["00:00-24:00"]}
    )
    start = start.replace(tzinfo=UTC)
    end = calendar.add(start, timedelta(seconds=seconds))
    assert calendar.between(start, end) == timedelta(seconds=seconds)
    assert calendar.between(end, start) == -timedelta(seconds=seconds)
    if seconds:
        assert calendar.between(start, end - timedelta(microseconds=1)) < timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"zone": "Berlin"}, "not a time zone"),
        ({"hours": {"mon": ["9-17"]}}, "write it as 09:00-17:00"),
        ({"hours": {"mon": ["09:00-09:00"]}}, "write 00:00-24:00"),
        ({"hours": {"mon": ["09:00-25:00"]}}, "00:00 to 24:00"),
        ({"hours": {"mon": ["09:70-10:00"]}}, "00:00 to 24:00"),
        ({"hours": {}}, "never opens"),
        ({"hours": {"monday": ["09:00-17:00"]}}, "monday"),
        ({"holidays": {"country": "XX"}}, "country 'XX' is not known"),
        ({"holidays": {"country": "DE", "subdivision": "ZZ"}}, "known are BB, BE"),
        ({"holidays": {"extra": ["24.12.2026"]}}, "holidays.extra"),
        ({"hour": {}}, "hour"),
        ({"slug": "Not a slug"}, "slug"),
    ],
)
def test_a_wrong_calendar_names_the_field_and_what_to_write(data, words):
    with pytest.raises(Invalid) as error:
        calendar_file.check({"slug": "x", "name": "X", "zone": "UTC"} | data)
    assert words in str(error.value)
