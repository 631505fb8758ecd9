"""Each bad setting ends the start with one clear line and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "DESK_ENV": "production",
    "DESK_SECRET_KEY": "k" * 30 + "0123456789abcdefghijklmnopqrstuvwxyz",
    "DESK_ENCRYPTION_KEYS": "an-encryption-key-of-some-length",
    "DESK_HOSTS": "desk.example.com",
    "DESK_BASE_URL": "https://desk.example.com",
    "DATABASE_URL": os.environ.get("DATABASE_URL", "postgres://localhost/x"),
    "REDIS_URL": os.environ.get("REDIS_URL", "redis://localhost:6379/0"),
}


def manage(*arguments, **env):
    kept = {"PATH": os.environ["PATH"], "DESK_DATA": os.environ["DESK_DATA"]}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=kept | env, capture_output=True, text=True, check=False
    )


def test_production_checks_clean():
    result = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"DESK_SECRET_KEY": ""}, "DESK_SECRET_KEY must be set"),
        ({"DESK_SECRET_KEY": "short"}, "DESK_SECRET_KEY must be set, 50"),
        ({"DESK_ENCRYPTION_KEYS": ""}, "DESK_ENCRYPTION_KEYS must be set"),
        ({"DESK_HOSTS": "*"}, "DESK_HOSTS must name the hosts"),
        ({"DESK_HOSTS": ""}, "DESK_HOSTS must name the hosts"),
        ({"DESK_BASE_URL": "http://desk.example.com"}, "https://"),
        ({"DATABASE_URL": ""}, "embedded PostgreSQL is for development"),
        ({"REDIS_URL": ""}, "embedded Redis is for development"),
        ({"DESK_DEBUG": "yes"}, "DESK_DEBUG must be off"),
    ],
)
def test_production_refuses_to_start_with(change, words):
    result = manage("check", **PRODUCTION | change)
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"DESK_ENV": "staging"}, "DESK_ENV: 'staging' is neither development nor production"),
        ({"DESK_DEBUG": "perhaps"}, "DESK_DEBUG"),
        ({"DATABASE_URL": "mysql://x/y"}, "DATABASE_URL: Supportdesk needs PostgreSQL"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL: not a Redis address"),
        ({"EMAIL_URL": "pigeon://x"}, "EMAIL_URL"),
        ({"DESK_LOG_LEVEL": "LOUD"}, "DESK_LOG_LEVEL: 'LOUD'"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(change, words):
    result = manage(
        "check", **{"DATABASE_URL": PRODUCTION["DATABASE_URL"], "REDIS_URL": PRODUCTION["REDIS_URL"]} | change
    )
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mail_is_left_with_the_server_when_a_setting_is_wrong():
    assert manage("receive_mail", DESK_ENV="staging").returncode == 75


def test_every_variable_of_the_settings_is_in_the_example():
    import re

    sources = [
        ROOT / "supportdesk" / "settings.py",
        ROOT / "supportdesk" / "asgi.py",
        ROOT / "supportdesk" / "embedded" / "supervisor.py",
    ]
    names = set(
        re.findall(r'"((?:DESK_|DATABASE_|REDIS_|EMAIL_)[A-Z_]+)"', "".join(path.read_text() for path in sources))
    )
    names -= {name for name in names if name.startswith(("DESK_DEMO", "DESK_STARTING", "EMAIL_FILE", "EMAIL_BACKEND"))}
    example = (ROOT / ".env.example").read_text()
    assert [name for name in sorted(names) if name not in example] == []
