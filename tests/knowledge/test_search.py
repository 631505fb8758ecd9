import pytest
import yaml
from django.db import connection
from django.test.utils import CaptureQueriesContext

from knowledge import actions, queries
from knowledge.models import Article, Revision, Word
from supportdesk import guide
from supportdesk.errors import Invalid
from supportdesk.templatetags.desk import marked
from tests.factories import ticket


def slugs(found):
    return [article.slug for article in found]


def test_the_seven_common_issues_are_published(db):
    assert set(Article.objects.filter(state="published").values_list("slug", flat=True)) == {
        "users-cannot-log-in",
        "orders-not-updating-in-kanban",
        "workflow-not-executing",
        "slow-api-response-times",
        "frontend-loading-slow",
        "database-connection-pool-exhausted",
        "docker-container-wont-start",
    }


@pytest.mark.parametrize(
    "command",
    [
        "tail -f backend/logs/error.log", "echo $JWT_SECRET", 'psql -U postgres -d ecommerce_cod -c "SELECT 1"', "pm2 restart backend",
        "UPDATE users SET password = '$2b$10$...' WHERE email = 'user@example.com';", "curl http://localhost:3000/socket.io/",
        'tail -f backend/logs/combined.log | grep "socket"', "redis-cli ping", "sudo ufw status",
        "tail -f /var/log/postgresql/postgresql-15-main.log", "-d '{\"status\": \"confirmed\"}'", "KEYS workflow:*",
        "curl http://localhost:3000/api/workflows/queue-status", "tail -f backend/logs/workflow.log", "pm2 restart workflow-worker",
        "UPDATE workflows SET active = true WHERE id = 'WORKFLOW_ID';", "tail -f backend/logs/events.log",
        "http://localhost:3000/api/workflows/WORKFLOW_ID/execute", "SELECT * FROM pg_stat_activity;", "SELECT query, mean_exec_time",
        "CREATE INDEX idx_orders_status ON orders(status);", "ANALYZE customers;", 'export REDIS_URL="redis://localhost:6379"',
        "pm2 scale backend 4", "max_connections = 200", "ls -lh dist/assets/", "lighthouse http://localhost:5173 --view",
        "npm run build -- --analyze", "npm ls --all --json | jq '.dependencies | keys'", "gzip_min_length 1024;",
        "aws s3 sync dist/assets s3://your-cdn-bucket/", "base: 'https://cdn.example.com/'", "SHOW max_connections;",
        "state_change < now() - interval '5 minutes'", "sudo systemctl restart postgresql", "sudo apt install pgbouncer",
        "pool_mode = transaction", "max_client_conn = 1000", "default_pool_size = 25", "docker logs backend-container", "docker ps -a",
        "lsof -i :3000", "kill -9 $(lsof -ti:3000)", "docker run -p 3001:3000 backend-image",
        "docker exec backend-container env | grep DATABASE_URL", "docker run --env-file .env.production backend-image",
        "docker build --no-cache -t backend-image ./backend", "docker run backend-image ls -la node_modules",
    ],
)  # fmt: skip
def test_every_command_of_the_guide_is_in_an_article(db, command):
    assert Article.objects.filter(search_text__contains=command).exists()


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("connection pool", "database-connection-pool-exhausted"),
        ("too many connections", "database-connection-pool-exhausted"),
        ("conection pool exausted", "database-connection-pool-exhausted"),
        ("kanban", "orders-not-updating-in-kanban"),
        ("drag and drop", "orders-not-updating-in-kanban"),
        ("login loop", "users-cannot-log-in"),
        ("invlid credentials", "users-cannot-log-in"),
        ("workflow trigger", "workflow-not-executing"),
        ("white screen", "frontend-loading-slow"),
        ("Cannot find module", "docker-container-wont-start"),
        ("pm2 scale backend", "slow-api-response-times"),
    ],
)
def test_the_right_article_comes_first(tier1, text, slug):
    assert slugs(queries.search(tier1, text).articles)[0] == slug


def test_a_mistyped_query_says_what_was_searched(tier1):
    assert queries.search(tier1, "conection pool exausted").corrected == "connection pool exhausted"
    assert queries.search(tier1, "connection pool").corrected == ""


def test_what_nothing_matches_finds_nothing(tier1):
    assert queries.search(tier1, "qqqqzzzz").articles == []


@pytest.mark.parametrize("text", ["'", "a & | !", "\\", "%", "()", "-- ;", "“”", "-foo", '"open', "\x00"])
def test_no_query_breaks_the_search(tier1, text):
    queries.search(tier1, text)


def test_found_words_are_marked_and_the_rest_is_escaped(tier1):
    article = queries.search(tier1, "connection pool").articles[0]
    assert "<mark>connection</mark>" in marked(article.shown_title)
    assert marked("<b>\ue000x\ue001") == "&lt;b&gt;<mark>x</mark>"


@pytest.mark.parametrize(
    ("subject", "text", "slug"),
    [
        (
            "Kanban and login failing",
            "The log says FATAL: remaining connection slots are reserved.",
            "database-connection-pool-exhausted",
        ),
        ("Too many connections", "The app hangs.", "database-connection-pool-exhausted"),
        ("Cannot sign in", "It says invalid credentials although my password is right.", "users-cannot-log-in"),
        ("Board stuck", "Orders do not move between columns when I drag them.", "orders-not-updating-in-kanban"),
        ("SMS workflow", "It is not triggered any more, no execution logs.", "workflow-not-executing"),
        ("Timeouts", "API responses take seconds and time out, server load is high.", "slow-api-response-times"),
        ("White screen", "First visit takes more than five seconds to load.", "frontend-loading-slow"),
        (
            "Deploy",
            "The container exits immediately: Error: Cannot find module 'express'",
            "docker-container-wont-start",
        ),
    ],
)
def test_a_ticket_is_shown_the_article_that_solves_it(tier1, subject, text, slug):
    found = slugs(queries.suggestions(tier1, ticket(1, subject=subject, text=text)))
    assert found[0] == slug
    assert len(found) <= 3


def test_a_ticket_of_stop_words_gets_no_suggestion(tier1):
    assert queries.suggestions(tier1, ticket(1, subject="the and of", text="...")) == []


def test_fixes_keep_their_order_and_lead_to_their_runbook(tier1, tier2):
    page = queries.article(tier2, "database-connection-pool-exhausted")
    assert [step.item.position for step in page.fixes] == [1, 2, 3]
    assert page.fixes[0].item.runbook.slug == "kill-idle-connections"
    assert page.fixes[0].can_run
    assert not queries.article(tier1, "database-connection-pool-exhausted").fixes[0].can_run


def test_loading_again_changes_nothing_and_an_edit_adds_a_revision(db):
    guide.load()
    assert Revision.objects.count() == 7
    text = (guide.FOLDER / "articles" / "workflow-not-executing.md").read_text()
    actions.load_article(text=text.replace("stays silent", "stays mute"), name="x.md")
    assert Revision.objects.filter(article__slug="workflow-not-executing").count() == 2
    assert "mute" in Article.objects.get(slug="workflow-not-executing").summary
    assert Word.objects.filter(text="mute").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("category: application", "category: nowhere"), "there is no nowhere"),
        (("title: ", "titel: "), "title"),
        (("---\n", "", 1), "front matter"),
    ],
)
def test_a_wrong_article_is_refused_in_words(db, change, words):
    text = (guide.FOLDER / "articles" / "workflow-not-executing.md").read_text()
    with pytest.raises(Invalid, match=words):
        actions.load_article(text=text.replace(*change), name="x.md")


def test_an_article_may_not_name_a_runbook_that_does_not_exist(db):
    text = (guide.FOLDER / "articles" / "database-connection-pool-exhausted.md").read_text()
    with pytest.raises(Invalid, match="there is no runbook"):
        actions.load_article(text=text.replace("runbook: kill-idle-connections", "runbook: nobody"), name="x.md")


def test_a_search_takes_the_same_queries_for_any_number_of_results(tier1):
    assert tier1.standing.level == 1
    with CaptureQueriesContext(connection) as few:
        queries.search(tier1, "kanban board")
    with CaptureQueriesContext(connection) as many:
        queries.search(tier1, "backend restart")
    assert len(few) == len(many) <= 3


def test_the_guide_file_holds_every_fact_of_tiers_and_contacts():
    data = yaml.safe_load((guide.FOLDER / "guide.yaml").read_text())
    assert [(t["level"], t["response_minutes"], t["handled_by"]) for t in data["tiers"]] == [
        (1, [60, 240], "Support team"),
        (2, [30, 120], "Technical team"),
        (3, [15, 60], "Engineering team"),
    ]
    assert [t["scope"] for t in data["tiers"]] == [
        "User questions, basic troubleshooting",
        "Application issues, bugs, configuration",
        "Critical issues, system failures, code bugs",
    ]
    assert [(c["role"], c["email"], c["hours"]) for c in data["contacts"]] == [
        ("User Support", "support@example.com", "24/7"),
        ("Technical Support", "tech@example.com", "24/7"),
        ("Engineering", "oncall@example.com", "24/7"),
        ("Management", "admin@example.com", "Business hours"),
    ]
