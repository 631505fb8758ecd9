"""The workspace by keyboard alone: take, read, diagnose, answer, next; taking back; another browser; the palette."""

import re

import pytest
from playwright.sync_api import expect

from supportdesk.statics import SHEETS
from tests.e2e.conftest import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e two")]
MAIL = b"""From: Sofia Marin <sofia@nova-beauty.example>
To: tech@example.com
Subject: %s
Message-ID: <%s@nova-beauty.example>

Nobody can connect: the log says too many connections, remaining connection slots are reserved.
"""


def message(page):
    return page.get_by_label("Message", exact=True)


def undo_after(page, words):
    """Choose on one's own settings how long a reply can be taken back."""
    page.goto("/me/")
    page.get_by_label("How long a reply can be taken back").select_option(label=words)
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("Saved.")


def test_the_sheet_that_is_served_says_what_the_sources_say(desk, sign_in):
    page = sign_in("tier2")
    sources = "\n".join((ROOT / "static" / "css" / f"{sheet}.css").read_text() for sheet in SHEETS)
    served = page.evaluate("fetch(document.querySelector('link[rel=stylesheet]').href).then(answer => answer.text())")
    assert len(served) < len(sources) * 0.95
    rules = """text => {
        const sheet = new CSSStyleSheet(), said = [];
        sheet.replaceSync(text);
        const bare = text => (text ?? '').replace(/\\s+/g, '');
        const walk = list => [...list].forEach(rule => rule.cssRules?.length && !rule.selectorText
            ? (said.push(bare(rule.conditionText ?? rule.name)), walk(rule.cssRules))
            : said.push(`${rule.selectorText ?? bare(rule.cssText)} {${bare(rule.style?.cssText)}}`));
        walk(sheet.cssRules);
        return said;
    }"""
    assert [one.replace("*:", ":") for one in page.evaluate(rules, served)] == page.evaluate(rules, sources)
    page.goto("/tickets/?view=all")
    cell = page.locator(".queue tbody td").nth(3)
    assert cell.evaluate("cell => getComputedStyle(cell).overflowX") in {"hidden", "clip"}


def test_the_whole_job_by_keys_and_on_to_the_next(desk, sign_in):
    first = desk.mail(MAIL % (b"Chord one", b"chord-one"))["ticket"]
    second = desk.mail(MAIL % (b"Chord two", b"chord-two"))["ticket"]
    page = sign_in("tier2")
    page.goto("/tickets/?q=subject:Chord&sort=number")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Chord one")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("t")
    expect(page.get_by_label("Status")).to_have_value("open")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-input")).to_be_focused()
    page.keyboard.type("pool diagnosis")
    expect(page.locator("#palette-list [aria-selected=true]")).to_contain_text("Connection pool diagnosis")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runbooks/**")
    page.goto(f"/tickets/{first}/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name=re.compile("^Run .* now$")).first).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/**")
    page.goto(f"/tickets/{first}/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("r")
    page.keyboard.type("We released them.")
    page.keyboard.press("Control+Shift+Enter")
    expect(page.get_by_label("Status")).to_have_value("resolved")
    page.keyboard.press("Escape")
    page.keyboard.press(">")
    page.wait_for_url(f"**/tickets/{second}/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("l")
    page.wait_for_url(re.compile(r"/tickets/\?.*Chord"))
    expect(page.locator(f"#t{second}.is-cursor")).to_have_count(1)


def test_a_reply_is_taken_back_and_sent_later_without_a_second_one(desk, sign_in):
    number = desk.mail(MAIL % (b"Undo me", b"undo-me"))["ticket"]
    page = sign_in("tier2")
    undo_after(page, "5 seconds")
    page.goto(f"/tickets/{number}/")
    message(page).fill("Too early.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#pending")).to_contain_text("Too early.")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    expect(message(page)).to_have_value("Too early.")
    expect(page.locator("#timeline .entry.reply")).to_have_count(0)
    message(page).press("Control+Enter")
    expect(page.locator("#pending")).to_contain_text("Too early.")
    page.goto("/home/")
    page.keyboard.press("u")  # the page that one went on to has it too
    expect(message(page)).to_have_value("Too early.")
    message(page).fill("Now it is right.")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#timeline .entry.reply")).to_contain_text("Now it is right.")
    expect(page.locator("#pending .entry")).to_have_count(0)
    message(page).type("Sent while it is being kept.", delay=30)
    page.wait_for_timeout(690)  # the keeping is under way
    page.keyboard.press("Control+Enter")
    expect(page.locator("#pending, #timeline").get_by_text("Sent while it is being kept.")).to_have_count(1)
    page.wait_for_timeout(1500)
    page.reload()
    expect(message(page)).to_have_value("")
    undo_after(page, "Not: it leaves at once")


def test_a_draft_goes_on_in_another_browser(desk, sign_in):
    number = desk.mail(MAIL % (b"Half a draft", b"half-draft"))["ticket"]
    page, other = sign_in("tier2"), sign_in("tier2")
    page.goto(f"/tickets/{number}/")
    message(page).fill("Begun here")
    expect(page.locator("[data-draft-state]")).to_have_text("Draft kept")
    other.goto(f"/tickets/{number}/")
    expect(message(other)).to_have_value("Begun here")
    message(other).press("End")
    message(other).type(", ended there.")
    expect(other.locator("[data-draft-state]")).to_have_text("Draft kept")
    message(page).type("!")
    expect(page.get_by_role("button", name="Take that text")).to_be_visible()
    page.get_by_role("button", name="Take that text").click()
    expect(message(page)).to_have_value("Begun here, ended there.")
    page.desk_errors[:] = [error for error in page.desk_errors if "409" not in error]


def test_nothing_is_lost_or_sent_twice_between_windows_and_files(desk, sign_in, tmp_path):
    number = desk.mail(MAIL % (b"Two windows", b"two-windows"))["ticket"]
    page, other = sign_in("tier2"), sign_in("tier2")
    undo_after(page, "5 seconds")
    page.goto(f"/tickets/{number}/")
    other.goto(f"/tickets/{number}/")
    message(page).fill("Part one.")
    expect(page.locator("[data-draft-state]")).to_have_text("Draft kept")
    file = tmp_path / "first.txt"
    file.write_text("x")
    page.locator("[data-files]").set_input_files(file)
    expect(page.locator("#draft-files")).to_contain_text("first.txt")
    message(page).press("End")
    message(page).type(" Part two.")
    expect(page.locator("[data-draft-state]")).to_have_text("Draft kept")
    message(other).fill("A")  # began while there was nothing
    expect(other.get_by_role("button", name="Take that text")).to_be_visible()
    other.get_by_role("button", name="Take that text").click()
    expect(message(other)).to_have_value("Part one. Part two.")
    # A file that is on its way goes along.
    session = page.context.new_cdp_session(page)
    session.send("Network.emulateNetworkConditions", {"offline": False, "latency": 50, "downloadThroughput": -1, "uploadThroughput": 400_000})  # fmt: skip
    slow = tmp_path / "slow.txt"
    slow.write_text("x" * 600_000)
    message(page).fill("Both parts.")
    page.locator("[data-files]").set_input_files(slow)
    message(page).press("Control+Enter")
    expect(page.locator("#timeline .entry.reply")).to_contain_text("slow.txt")
    expect(page.locator("#timeline .entry.reply")).to_contain_text("first.txt")
    # What one window sent the other does not send again, once it has heard of it; before, it is only told that it is late.
    expect(other.locator("#timeline .entry.reply")).to_have_count(1)
    message(other).press("Control+Enter")
    expect(other.get_by_role("alert")).to_contain_text("another window")
    expect(other.locator("#timeline .entry.reply")).to_have_count(1)
    undo_after(page, "Not: it leaves at once")
    for one in (page, other):
        one.desk_errors[:] = [error for error in one.desk_errors if "409" not in error]


def test_who_else_is_here_and_what_the_requester_wrote_meanwhile(desk, sign_in):
    number = desk.mail(MAIL % (b"Together", b"together"))["ticket"]
    page, other = sign_in("tier2"), sign_in("tier3")
    page.goto(f"/tickets/{number}/")
    other.goto(f"/tickets/{number}/")
    expect(page.locator("#presence")).to_contain_text("Priya Nair is here")
    message(other).type("I write")
    expect(page.locator("#presence")).to_contain_text("Priya Nair is writing")
    message(page).fill("My answer.")
    desk.mail(
        f"From: sofia@nova-beauty.example\nTo: tech@example.com\nSubject: Together [#{number}]\nMessage-ID: <together-2@x>\n\nStop, it works!".encode()
    )
    expect(page.locator("#timeline")).to_contain_text("Stop, it works!")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("wrote while you were writing")
    expect(message(page)).to_have_value("My answer.")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#timeline .entry.reply")).to_contain_text("My answer.")
    page.desk_errors[:] = [error for error in page.desk_errors if "409" not in error]


def test_words_kept_ready_articles_and_files_while_one_writes(desk, sign_in, tmp_path):
    number = desk.mail(MAIL % (b"Composer", b"composer"))["ticket"]
    page = sign_in("tier2")
    page.goto("/macros/new/")
    page.get_by_label("Name").fill("Greeting")
    page.get_by_label("Text").fill("Hello {{requester}},")
    page.get_by_label("Priority").select_option("high")
    page.get_by_role("button", name="Save").click()
    page.goto(f"/tickets/{number}/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("r")
    page.keyboard.type("/")
    expect(page.locator("#option-list [aria-selected=true]")).to_contain_text("Greeting")
    page.keyboard.press("Enter")
    expect(message(page)).to_have_value("Hello Sofia Marin,")
    expect(page.locator("[data-chips]")).to_contain_text("priority high")
    page.keyboard.press("Escape")
    page.keyboard.press("i")
    expect(page.locator("#option-list [aria-selected=true]")).to_contain_text(
        "The database connection pool is exhausted"
    )
    page.keyboard.press("Enter")
    expect(message(page)).to_have_value(re.compile("Hello Sofia Marin,.*connection pool", re.DOTALL))
    file = tmp_path / "log.txt"
    file.write_text("x")
    page.locator("[data-files]").set_input_files(file)
    expect(page.locator("#draft-files")).to_contain_text("log.txt")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#composer-preview strong")).to_contain_text("connection pool")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#timeline .entry.reply")).to_contain_text("log.txt")
    expect(page.get_by_label("Priority", exact=True)).to_have_value("high")


def test_a_view_is_kept_with_completion_and_counted(desk, sign_in):
    desk.mail(MAIL % (b"Keepable matter", b"keepable"))
    page = sign_in("tier2")
    page.goto("/tickets/")
    page.keyboard.press("/")
    page.wait_for_timeout(500)
    page.keyboard.type("sub")
    expect(page.get_by_role("option", name="subject:")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("Keepable")
    expect(page.locator(".ticket-row")).to_have_count(1)
    page.get_by_role("button", name="Keep as a view").click()
    page.wait_for_url("**/views/new/?*")
    expect(page.locator("main")).to_have_count(1)
    page.get_by_label("Name").fill("Keepables")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url("**/tickets/?saved=*")
    expect(page.locator("#nav-saved").get_by_role("link", name="Keepables")).to_contain_text("1")


def test_a_lead_gives_a_ticket_by_dragging_it(desk, sign_in):
    number = desk.mail(MAIL % (b"Drag me", b"drag-me"))["ticket"]
    desk.sql("UPDATE tickets_ticket SET due_at = now() WHERE number = %s", number)  # first of many
    page = sign_in("lead")
    page.goto("/home/")
    people = page.locator("[data-person]")
    page.locator(f"[data-ticket='{number}']").drag_to(people.filter(has_text="Amina Rahal"))  # of tier 1: stays
    page.locator(f"[data-ticket='{number}']").drag_to(people.filter(has_text="Jonas Weber"))
    expect(page.locator(f"[data-ticket='{number}'] small")).to_contain_text("Jonas Weber")
    page.goto(f"/tickets/{number}/")
    expect(page.get_by_label("Assignee").locator("option:checked")).to_contain_text("Jonas Weber")


def test_two_browsers_change_the_same_and_the_second_sees_both(desk, sign_in):
    number = desk.mail(MAIL % (b"Both at once", b"both"))["ticket"]
    mine, theirs = sign_in("tier2"), sign_in("tier3")
    mine.route("**/events/**", lambda route: route.abort())  # what it shows grows old
    for page in (mine, theirs):
        page.goto(f"/tickets/{number}/")
    theirs.get_by_label("Priority", exact=True).select_option("high")
    expect(theirs.locator("#timeline")).to_contain_text("changed the priority")
    mine.get_by_label("Priority", exact=True).select_option("urgent")
    box = mine.get_by_role("alert")
    expect(box.get_by_role("row", name="Priority")).to_contain_text("UrgentHigh")
    box.get_by_role("button", name="Use mine").click()
    expect(box).to_have_count(0)
    expect(mine.get_by_label("Priority", exact=True)).to_have_value("urgent")
    expect(theirs.get_by_label("Priority", exact=True)).to_have_value("urgent")
    mine.desk_errors[:] = [error for error in mine.desk_errors if "409" not in error and "ERR_FAILED" not in error]


def test_the_bell_tells_every_tab_and_pops_up_once(desk, sign_in):
    number = desk.mail(MAIL % (b"Bell matter", b"bell"))["ticket"]
    page, chief = sign_in("tier2", permissions=["notifications"]), sign_in("lead")
    page.add_init_script(
        "window.popped = []; window.Notification = class extends EventTarget { static permission = 'granted';"
        " constructor(text) { super(); window.popped.push(text); } };"
    )
    page.goto("/me/")
    second = page.context.new_page()
    second.goto("/notifications/settings/")
    before = int(page.locator("#bell-count").text_content() or 0)
    chief.goto(f"/tickets/{number}/")
    chief.get_by_label("Assignee").select_option(label="Jonas Weber")
    for tab in (page, second):
        expect(tab.locator("#bell-count")).to_have_text(str(before + 1))
        expect(tab).to_have_title(re.compile(rf"^\({before + 1}\) "))
    page.wait_for_timeout(500)
    popped = page.evaluate("window.popped") + second.evaluate("window.popped ?? []")
    assert len([text for text in popped if "Bell matter" in text]) == 1
    page.bring_to_front()
    page.keyboard.press("g")
    panel = page.locator("#bell")
    expect(panel.get_by_role("link", name=re.compile("gave you .*Bell matter"))).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tickets/{number}/")
    expect(second.locator("#bell-count")).to_have_text(str(before or ""))


def test_an_administrators_first_hour_ends_with_a_mail_that_became_a_ticket(desk, sign_in):
    page = sign_in("admin")
    page.goto("/home/")
    box = page.get_by_role("region", name="Your first hour")
    box.get_by_label("Mailbox").select_option(label="tech@example.com")
    box.get_by_role("button", name="Send one").click()
    expect(box).to_contain_text(re.compile(r"A test mail became ticket \d+"), timeout=30_000)
    box.get_by_role("link", name=re.compile("A test mail became ticket")).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Test of the desk")
    page.goto("/home/")
    page.get_by_role("button", name="Put this away").click()
    expect(page.get_by_role("region", name="Your first hour")).to_have_count(0)
