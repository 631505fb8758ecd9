"""A runbook from its first draft to an approved run, in the browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

TEXT = """schema: 1
id: {slug}
title: Greet the {slug}
purpose: maintenance
owner: Technical team
risk: destructive
tier: 2
params:
  word: {{type: string, label: Word}}
steps:
  - id: say
    title: Say it
    uses: shell
    effect: once
    with: {{script: 'for i in 1 2 3; do echo "$PARAM_WORD $i"; sleep 1; done; seq 5000'}}
  - id: look
    title: Look at it
    uses: manual
    with: {{instructions: Look at the console., fields: {{seen: "What did you see?"}}}}
limits: {{output: 2MB}}
"""

pytestmark = pytest.mark.e2e


def test_a_runbook_is_written_published_approved_watched_and_answered(desk, sign_in):
    lead, admin = sign_in("lead"), sign_in("admin")
    lead.goto("/runbooks/new/")
    lead.get_by_label("Definition").fill(TEXT.format(slug="greeter") + "nonsense: 1\n")
    expect(lead.locator("#problems")).to_contain_text("nonsense")
    lead.get_by_label("Definition").fill(TEXT.format(slug="greeter"))
    expect(lead.locator("#problems")).to_contain_text("Valid")
    lead.get_by_role("button", name="Submit for review").click()
    expect(lead.locator(".badge", has_text="In review")).to_be_visible()
    assert lead.get_by_role("button", name="Publish").count() == 0  # not by its author
    admin.goto("/runs/approvals/")
    admin.get_by_role("link", name="A new runbook").click()
    admin.get_by_role("button", name="Publish").click()
    expect(admin.get_by_role("heading", level=1)).to_have_text("Greet the greeter")

    agent = sign_in("tier2")
    agent.goto("/runbooks/greeter/")
    agent.get_by_label("Word").fill("hello $(id)")
    agent.get_by_role("button", name="Run", exact=True).click()
    expect(agent.locator("#run-state")).to_have_text("Awaiting approval")
    assert agent.get_by_role("button", name="Approve").count() == 0
    address = agent.url
    admin.goto(address)
    admin.get_by_role("button", name="Reject").click()
    expect(admin.locator("#act-error")).to_contain_text("Say why not")
    admin.get_by_role("button", name="Approve").click()
    expect(agent.locator(".console-log")).to_contain_text("hello $(id) 1")  # without a reload
    expect(agent.locator("#run-state")).to_have_text("Paused", timeout=20_000)
    assert [fault["id"] for fault in Axe().run(agent).response["violations"]] == []
    agent.get_by_role("button", name="Done", exact=True).click()
    expect(agent.locator("#act-error")).to_contain_text("What did you see?")
    agent.get_by_label("What did you see?").fill("Three greetings")
    agent.get_by_role("button", name="Done", exact=True).click()
    expect(agent.locator("#run-state")).to_have_text("Succeeded", timeout=20_000)
    expect(agent.locator(".console-log")).to_contain_text("seen: Three greetings")

    agent.reload()
    agent.get_by_label("Search in all of the output").fill("4321")
    agent.keyboard.press("Enter")
    agent.locator("[data-hits] a").first.click()
    expect(agent.locator(".console-log li.hit")).to_contain_text("4321")
    agent.get_by_role("button", name="Head").click()
    expect(agent.locator(".console-log li").first).to_contain_text("run ")


def test_a_schedule_shows_its_next_runs_and_stands_in_the_calendar(desk, sign_in):
    page = sign_in("lead")
    page.goto("/schedules/new/?runbook=morning-health-check")
    page.get_by_label("Name").fill("by-browser")
    page.get_by_label("COD dashboard").check()
    page.get_by_label("Cron").fill("nonsense")
    expect(page.locator("#moments")).to_contain_text("no cron rule")
    page.get_by_label("Cron").fill("0 9 * * *")
    expect(page.locator("#moments li")).to_have_count(10)
    page.get_by_role("button", name="Save").click()
    page.goto("/schedules/calendar/?view=month")
    expect(page.get_by_role("link", name="by-browser").first).to_be_visible()
    page.goto("/schedules/")
    page.get_by_role("button", name="Pause by-browser").click()
    expect(page.locator(".badge", has_text="Paused")).to_be_visible()


def test_a_connection_is_tried_on_the_page(desk, sign_in):
    page = sign_in("admin")
    page.goto("/targets/cod-dashboard/")
    page.get_by_role("button", name="Test connection postgres").click()
    expect(page.locator("#connection-postgres")).to_contain_text("PostgreSQL")
