"""The whole thread, as a person would go through it; and what happens when parts of it die."""

import os
import re
import signal
import time

import pytest
from playwright.sync_api import expect

from bench.screens import PAGES
from tests.e2e.conftest import faults_of

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]
MAIL = b"""From: Sofia Marin <sofia@nova-beauty.example>
To: tech@example.com
Subject: %s
Message-ID: <%s@nova-beauty.example>

Nobody can connect: the log says too many connections, remaining connection slots are reserved.
"""
SLOW = """\
schema: 1
id: slow-diagnosis
title: Slow diagnosis
description: Takes long.
purpose: diagnostic
owner: Tests
risk: read
on_worker_loss: ask
target: {needs: [paths]}
steps:
  - id: begin
    title: Begin
    uses: shell
    with: {script: "echo begun"}
  - id: wait
    title: Wait
    uses: shell
    with:
      script: |
        test -e "$TARGET_BACKUPS/go" && { echo finished; exit 0; }
        echo waiting; sleep 600
    timeout: 20m
"""


def wait_for(condition, seconds=30.0, every=0.2):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(every)
    raise AssertionError("it did not happen in time")


def test_from_mail_to_resolved(desk, sign_in):
    line = desk.mail(MAIL % (b"Database refuses connections", b"thread-1"))
    assert line["outcome"] == "ticket"
    number = line["ticket"]

    page = sign_in("tier2")
    page.get_by_label("Find tickets").fill("refuses connections")
    page.get_by_role("link", name="Database refuses connections").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Database refuses connections")
    expect(page.locator(".sla-timer").filter(has_text="First response").locator(".sla-chip[data-due]")).to_be_visible()
    expect(page.locator(".sla-timer").filter(has_text="Resolution").locator(".sla-chip[data-due]")).to_be_visible()

    page.get_by_role("button", name="Take").click()
    expect(page.get_by_label("Status")).to_have_value("open")
    expect(page.get_by_label("Assignee")).to_have_value(re.compile(r"\d+"))

    suggestion = page.locator("#suggestions").get_by_role("link").first
    expect(suggestion).to_have_text("The database connection pool is exhausted")
    suggestion.click()
    page.get_by_role("link", name="Run “Connection pool diagnosis”").first.click()
    expect(page.get_by_label("Ticket number")).to_have_value(str(number))
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run-state")).to_have_text("Succeeded", timeout=20_000)
    expect(page.locator(".console-log li").last).to_contain_text("rows")
    expect(page.locator(".run-step.ok")).to_have_count(3)

    page.get_by_role("link", name=f"{number} Database").click()
    expect(page.locator("#timeline")).to_contain_text("saw run")
    expect(page.locator("#runs")).to_contain_text("Connection pool diagnosis")
    page.get_by_label("Message", exact=True).fill("We released the connections, Sofia. **Please try again.**")
    page.get_by_role("button", name="Send and resolve").click()
    expect(page.locator("#toasts")).to_contain_text("resolved")
    expect(page.get_by_label("Status")).to_have_value("resolved")
    expect(page.locator(".entry.reply strong")).to_have_text("Please try again.")
    expect(page.locator(".sla-timer .badge.ok")).to_have_count(2)
    expect(page.get_by_label("Message", exact=True)).to_have_value("")

    sent = wait_for(
        lambda: [path for path in (desk.data / "outbox").glob("*.log") if f"[#{number}]" in path.read_text()]
    )
    mail = sent[0].read_text()
    assert "In-Reply-To: <thread-1@nova-beauty.example>" in mail

    ours = re.search(r"^Message-ID: (<.+>)$", mail, re.MULTILINE)
    assert ours
    answer = desk.mail(
        f"From: sofia@nova-beauty.example\nTo: tech@example.com\nSubject: Re\nMessage-ID: <thread-2@x>\nIn-Reply-To: {ours[1]}\n\nIt works, thank you!".encode()
    )
    assert answer == {"outcome": "reply", "ticket": number, "inbound": answer["inbound"]}
    expect(page.locator("#timeline")).to_contain_text("It works, thank you!", timeout=10_000)
    expect(page.get_by_label("Status")).to_have_value("open")


def test_a_breach_is_shown_without_a_reload(desk, sign_in):
    number = desk.mail(MAIL % (b"Soon too late", b"breach-1"))["ticket"]
    page = sign_in("tier2")
    page.goto(f"/tickets/{number}/")
    first_response = page.locator(".sla-timer").filter(has_text="First response")
    expect(first_response.locator(".sla-chip.fine, .sla-chip.soon")).to_be_visible()
    expect(page.locator("#timeline")).not_to_contain_text("is breached")
    # The clock of one who wrote a day ago: its log is replaced by one that began then.
    [(timer,)] = desk.sql(
        "SELECT s.id FROM tickets_slatimer s JOIN tickets_ticket t ON t.id = s.ticket_id WHERE number = %s AND clock = 'first_response'",
        number,
    )
    desk.sql(
        "WITH old AS (DELETE FROM tickets_clockevent WHERE timer_id = %s RETURNING *) "
        "INSERT INTO tickets_clockevent (timer_id, kind, at, target_seconds, calendar_version_id, reason) "
        "SELECT timer_id, kind, at - interval '1 day', target_seconds, calendar_version_id, reason FROM old",
        timer,
    )
    desk.sql(
        "UPDATE tickets_slatimer SET started_at = started_at - interval '1 day', next_action_at = now() WHERE id = %s",
        timer,
    )
    expect(page.locator("#timeline")).to_contain_text("is breached", timeout=10_000)
    expect(first_response.locator(".sla-chip.breached")).to_be_visible()
    page.get_by_role("link", name="Explain the clocks").click()
    expect(page.locator("#explained")).to_contain_text("Started: 90 min, 24/7")
    assert desk.sql(
        "SELECT count(*) FROM tickets_ticketevent JOIN tickets_ticket t ON t.id = ticket_id WHERE number = %s AND kind = 'breached'",
        number,
    ) == [(1,)]


def test_two_agents_on_one_ticket_the_second_sees_what_changed(desk, sign_in):
    number = desk.mail(MAIL % (b"Two at once", b"two-1"))["ticket"]
    page = sign_in("tier2")
    page.goto(f"/tickets/{number}/")
    page.route("**/changes/", lambda route: route.abort())  # this browser does not learn of it in time
    page.get_by_label("Message", exact=True).fill("Words that must not be lost.")
    other = sign_in("tier3")
    other.goto(f"/tickets/{number}/")
    other.get_by_label("Priority", exact=True).select_option("urgent")
    expect(other.locator("#timeline")).to_contain_text("changed the priority from Normal to Urgent")
    page.get_by_role("button", name="Send", exact=True).click()
    toast = page.get_by_role("alert")
    expect(toast).to_contain_text("Priya Nair changed the priority from Normal to Urgent")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Words that must not be lost.")
    page.unroute("**/changes/")
    page.get_by_role("button", name="Show it").click()
    expect(page.get_by_label("Priority", exact=True)).to_have_value("urgent")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".entry.reply")).to_contain_text("Words that must not be lost.")
    page.desk_errors.clear()  # the refused requests that this test is about


def test_an_answer_arrives_though_its_form_was_replaced_meanwhile(desk, sign_in):
    number = desk.mail(MAIL % (b"Replaced while it was sent", b"replaced-1"))["ticket"]
    page = sign_in("tier2")
    page.goto(f"/tickets/{number}/")

    def slowly(route):
        response = route.fetch()
        page.evaluate(
            "const side = document.getElementById('ticket-side'); side.replaceWith(side.cloneNode(true));"
            "htmx.process(document.getElementById('ticket-side'))"
        )
        route.fulfill(response=response)

    page.route("**/watch/", slowly)
    page.get_by_role("button", name="Watch", exact=True).click()
    expect(page.get_by_text("You watch this ticket.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop watching")).to_be_visible()


def test_everything_works_without_javascript(desk, sign_in):
    number = desk.mail(MAIL % (b"Without scripts", b"noscript-1"))["ticket"]
    page = sign_in("tier2", java_script_enabled=False)
    page.goto("/tickets/?q=scripts&view=open")
    page.get_by_role("link", name="Without scripts").click()
    page.get_by_role("button", name="Take").click()
    page.get_by_label("Message", exact=True).fill("Plain forms.")
    page.get_by_role("button", name="Send and wait").click()
    expect(page.locator(".entry.reply")).to_contain_text("Plain forms.")
    assert page.get_by_label("Status").input_value() == "waiting_on_requester"
    page.get_by_label("Priority", exact=True).select_option("high")
    page.locator(".prop-form").nth(1).get_by_role("button", name="Save").click()
    assert page.get_by_label("Priority", exact=True).input_value() == "high"
    page.get_by_role("link", name="Find articles for this ticket").click()
    page.get_by_role("link", name="The database connection pool is exhausted").click()
    page.get_by_role("link", name="Run “Connection pool diagnosis”").first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url("**/runs/*/")
    wait_for(lambda: page.reload() and "Succeeded" in page.locator("#run-state").inner_text())
    assert "rows" in page.locator(".console-log").inner_text()
    answer = page.goto(f"/tickets/{number}/")
    assert answer.status == 200, page.locator("body").inner_text()
    assert "saw run" in page.locator("#timeline").inner_text()


def test_the_keyboard_alone_does_the_job(desk, sign_in):
    desk.mail(MAIL % (b"Only keys", b"keys-1"))
    page = sign_in("tier2")
    page.keyboard.press("/")
    page.keyboard.type("Only keys")
    expect(page.locator(".ticket-row")).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Only keys")
    page.wait_for_load_state()  # the heading stands before the keys listen
    page.keyboard.press("t")
    expect(page.get_by_label("Status")).to_have_value("open")
    page.keyboard.press("n")
    page.keyboard.type("A note by keys.")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".entry.note")).to_contain_text("A note by keys.")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.keyboard.type("Restarted, no change.")
    page.keyboard.press("Tab")
    page.keyboard.type("The disk is full.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".handover")).to_contain_text("The disk is full.")
    expect(page.locator("#timeline")).to_contain_text("escalated from Tier 2 to Tier 3")
    page.locator("body").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")


def test_many_tickets_are_changed_by_keyboard_and_taken_back(desk, sign_in):
    numbers = [desk.mail(MAIL % (f"Bulk parcel {n}".encode(), f"bulk-{n}".encode()))["ticket"] for n in range(3)]
    page = sign_in("tier2")
    page.goto("/tickets/?q=%22bulk+parcel%22")
    boxes = page.locator(".c-check input[name=numbers]")
    expect(boxes).to_have_count(3)
    boxes.nth(0).click()
    boxes.nth(2).click(modifiers=["Shift"])
    expect(page.locator("[data-picked]")).to_have_text("3 selected")
    page.get_by_role("button", name="Clear the selection").click()
    expect(page.locator(".bulk-bar")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("[data-picked]")).to_have_text("1 selected")
    page.get_by_role("button", name="All 3 that match").click()
    expect(page.get_by_role("heading", name="Change 3 tickets")).to_be_visible()
    page.get_by_label("Add tags").fill("swept")
    page.get_by_role("button", name="Change 3 tickets").click()
    expect(page.get_by_text("3 of 3 done, 3 changed")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_text("3 of 3 done, 3 changed")).to_be_visible(timeout=20_000)
    page.goto(f"/tickets/{numbers[0]}/")
    expect(page.locator("#timeline")).to_contain_text("took a change back: tags")
    expect(page.locator("#prop-tags")).to_have_value("")


def test_somebody_outside_approves_by_the_link_of_their_mail(desk, sign_in, playwright_chromium):
    number = desk.mail(MAIL % (b"Needs a yes", b"approve-1"))["ticket"]
    page = sign_in("tier2")
    page.goto(f"/tickets/{number}/")
    page.get_by_text("Ask for approval").click()
    page.get_by_label("What is to be approved?").fill("Restart it at noon?")
    page.get_by_label("Their address").fill("boss@nova-beauty.example")
    # What is being written stays when another act brings the side anew.
    page.locator("#new-step").fill("Tell the hub")
    page.get_by_role("button", name="Watch", exact=True).click()
    expect(page.get_by_role("button", name="Stop watching")).to_be_visible()
    expect(page.locator("#new-step")).to_have_value("Tell the hub")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".approvals")).to_contain_text("Restart it at noon?")
    files = desk.data / "outbox"
    letter = wait_for(
        lambda: [t for f in files.glob("*.log") if "/approve/" in (t := f.read_text().replace("=\n", ""))]
    )[0]
    path = re.search(r"/approve/\d+/\w+/", letter)[0]
    outside = playwright_chromium.new_context(base_url=desk.url).new_page()
    outside.goto(path)
    outside.get_by_label("Comment").fill("Go on.")
    outside.get_by_role("button", name="Approve").click()
    expect(outside.get_by_text("Approved")).to_be_visible()
    expect(page.locator(".approvals")).to_contain_text("Approved", timeout=20_000)
    outside.context.close()


def test_a_call_is_written_down_beside_the_earlier_tickets(desk, sign_in):
    number = desk.mail(MAIL % (b"Label printer is dead", b"call-1"))["ticket"]
    page = sign_in("tier2")
    page.keyboard.press("p")
    page.wait_for_url("**/tickets/intake/")
    page.get_by_label("Requester’s email").type("nova-beauty", delay=20)
    page.get_by_role("button", name="sofia@nova-beauty.example").click()
    expect(page.get_by_label("Requester’s email")).to_have_value("sofia@nova-beauty.example")
    expect(page.get_by_label("Requester’s email")).to_be_focused()  # it comes to the new field when that is drawn
    page.get_by_label("About").fill("Printer of labels dead")
    expect(page.locator("#earlier")).to_contain_text("Alike")
    page.get_by_label(f"Belongs to {number}").check()
    page.get_by_label("About").fill("Printer of labels is dead")
    page.wait_for_timeout(1200)
    expect(page.get_by_label(f"Belongs to {number}")).to_be_checked()
    page.get_by_label("What is said").fill("It beeps three times.")
    page.get_by_role("button", name="Keep it").click()
    page.wait_for_url(f"**/tickets/{number}/")
    expect(page.locator("#timeline")).to_contain_text("wrote this down from a phone contact of")


def test_no_page_has_an_accessibility_fault_or_scrolls_sideways(desk, sign_in):
    page = sign_in("admin")
    faults = []
    for path in PAGES:
        page.goto(path)
        page.wait_for_timeout(100)
        faults += [(path, *fault) for fault in faults_of(page)]
    assert faults == []
    page.desk_errors[:] = [error for error in page.desk_errors if "404" not in error]


def start_slow(desk):
    path = desk.data / "slow.yaml"
    path.write_text(SLOW)
    code = f"from runbooks import actions; actions.load_runbook(text=open({str(path)!r}).read(), name='slow.yaml')"
    desk.manage("shell", "-c", code)
    backups = desk.sql("SELECT connections->'paths'->'folders'->>'backups' FROM runbooks_target")[0][0]
    out = desk.manage("run_runbook", "slow-diagnosis", "--target", "cod-dashboard", "--json")
    return int(re.search(r'"run": (\d+)', out)[1]), backups


def test_a_killed_worker_loses_its_run_which_a_person_resumes(desk, sign_in):
    run, backups = start_slow(desk)
    page = sign_in("tier2")
    page.goto(f"/runs/{run}/")
    expect(page.locator(".console-log")).to_contain_text("waiting", timeout=15_000)
    ((worker,),) = desk.sql("SELECT worker FROM runbooks_execution WHERE id = %s", run)
    os.kill(int(worker.rpartition("#")[2]), signal.SIGKILL)
    assert desk.sql("SELECT state FROM runbooks_execution WHERE id = %s", run) == [("running",)]
    # Its lease of a minute has run out: `bench torture` waits for one.
    desk.sql("UPDATE runbooks_execution SET lease_expires_at = now() WHERE id = %s", run)
    expect(page.locator("#run-state")).to_have_text("Lost its worker", timeout=100_000)
    marker = f"DESK_RUN={run}\0".encode()
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                left += [pid] if marker in file.read() else []
        except OSError:
            continue
    assert left == []
    with open(f"{backups}/go", "w"):
        pass
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#run-state")).to_have_text("Succeeded", timeout=20_000)
    expect(page.locator(".console-log")).to_contain_text("done in an earlier attempt")
    expect(page.locator(".console-log")).to_contain_text("finished")
    os.unlink(f"{backups}/go")


def test_queued_runs_start_by_themselves_when_redis_is_back(desk, broker, sign_in):
    page = sign_in("tier2")
    broker.kill()
    out = desk.manage("run_runbook", "connection-pool-diagnosis", "--target", "cod-dashboard", "--json")
    run = int(re.search(r'"run": (\d+)', out)[1])
    page.goto(f"/runs/{run}/")
    expect(page.locator("#run-state")).to_have_text("Queued")
    number = desk.mail(MAIL % (b"While Redis is away", b"redis-1"))["ticket"]
    page.goto(f"/tickets/{number}/")
    page.get_by_label("Message", exact=True).fill("Answered all the same.")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(".entry.reply")).to_contain_text("Answered all the same.")
    broker.start()
    wait_for(
        lambda: desk.sql("SELECT state FROM runbooks_execution WHERE id = %s", run) == [("succeeded",)], seconds=60
    )
    wait_for(lambda: desk.sql("SELECT count(*) FROM tickets_outboundemail WHERE sent_at IS NULL") == [(0,)], seconds=60)
    page.desk_errors.clear()
