"""Every step kind against the real thing: OpenSSH, Redis, PostgreSQL, supervisor, pm2, files and logs."""

import gzip
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpcore
import pytest
from django.conf import settings

from runbooks import actions
from runbooks.models import RunState, SecretUse, StepRun, StepState, Target
from runbooks.steps.service import DockerCompose, Systemd
from tests.factories import agent
from tests.runbooks.conftest import SEEN
from tests.runbooks.make import runbook, shell, text_of
from tests.runbooks.test_engine import finish, in_thread, start, wait_for


def needs(program, *, among=()):
    """The path of a real program; where tests must be real its absence fails."""
    found = shutil.which(program) or next((path for path in among if Path(path).exists()), None)
    if found is None:
        if os.environ.get("REQUIRE_REAL"):
            pytest.fail(f"{program} is not installed")
        pytest.skip(f"{program} is not installed")
    return found


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    """A real OpenSSH server on loopback for the user who runs the tests: (port, private key, host key)."""
    program = needs("sshd", among=["/usr/sbin/sshd"])
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    allowed = folder / "authorized_keys"
    allowed.write_text((folder / "user.pub").read_text())
    port = free_port()
    Path("/run/sshd").mkdir(parents=True, exist_ok=True) if os.geteuid() == 0 else None
    config = folder / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nAuthorizedKeysFile {allowed}\nStrictModes no\n"
        f"PidFile {folder / 'pid'}\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100:30:200\n"
    )
    server = subprocess.Popen([program, "-D", "-e", "-f", str(config)], stderr=(folder / "log").open("w"))
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield port, (folder / "user").read_text(), (folder / "host.pub").read_text()
    server.terminate()
    server.wait(timeout=10)


@pytest.fixture
def remote(target, sshd):
    port, key, host_key = sshd
    import getpass

    host = {
        "type": "host", "via": "ssh", "address": "127.0.0.1", "port": port, "user": getpass.getuser(), "host_key": host_key,
        "key": {"secret": "ssh-key"},
    }  # fmt: skip
    return actions.save_target(
        slug="shop",
        name="Shop",
        environment="test",
        connections=target.connections | {"host": host},
        secrets={"ssh-key": key},
    )


def one(kind, with_, **more):
    return {"id": "work", "title": "Work", "uses": kind, "with": with_, **more}


def result_of(run):
    return run.steps.get().result


# --------------------------------------------------------------------------------------------- ssh
def test_a_script_runs_over_ssh_with_parameters_as_environment(remote):
    runbook(
        "far",
        [shell('echo "$PARAM_WORD in ${SSH_CONNECTION-}|$TARGET_NAME"')],
        params={"word": {"type": "string", "label": "Word"}},
    )
    run = finish(start("far", agent(1), params={"word": 'it\'s $(id) "quoted"\n-n `x`'}))
    assert run.state == RunState.SUCCEEDED, text_of(run)
    assert 'it\'s $(id) "quoted"\n-n `x` in |shop' in text_of(run, "out")


def test_a_host_key_that_is_not_the_pinned_one_is_refused(remote, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    other = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    connections = remote.connections | {"host": remote.connections["host"] | {"host_key": other}}
    Target.objects.update(connections=connections)
    runbook("far", [shell("touch /tmp/never-here")])
    run = finish(start("far", agent(1)))
    assert run.state == RunState.FAILED
    assert "ssh failed" in run.summary
    assert "Host key verification failed" in text_of(run)


def test_a_cancel_ends_what_runs_over_ssh_also_in_sessions_of_its_own(remote, alive):
    runbook("far", [shell("setsid sleep 301 & setsid sh -c 'trap \"\" TERM; sleep 302' & sleep 303")])
    by = agent(1)
    run = start("far", by)
    thread = in_thread(lambda: actions.perform(execution_id=run.pk))
    marker = f"DESK_RUN={run.pk}\0"
    wait_for(lambda: len(alive(marker)) >= 3)
    actions.cancel(execution_id=run.pk, by=by)
    thread.join(timeout=60)
    run.refresh_from_db()
    assert run.state == RunState.CANCELLED, run.summary
    assert alive(marker) == []


def test_nothing_is_left_on_the_other_machine_when_the_worker_dies(remote, alive, tmp_path):
    """The worker is a process of its own, killed while its step runs there."""
    import sys

    runbook("far", [shell("setsid sleep 304 & sleep 305")])
    run = start("far", agent(1))
    code = f"import django; django.setup(); from runbooks import actions; actions.perform(execution_id={run.pk})"
    from django.db import connection

    settings_ = connection.settings_dict
    url = f"postgres://{settings_['USER']}:{settings_['PASSWORD']}@{settings_['HOST'].replace('/', '%2F')}:{settings_['PORT']}/{settings_['NAME']}"
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "supportdesk.settings", "DATABASE_URL": url}
    worker = subprocess.Popen([sys.executable, "-c", code], env=env, cwd=settings.ROOT)
    marker = f"DESK_RUN={run.pk}\0"
    wait_for(lambda: len(alive(marker)) >= 2, seconds=30)
    worker.kill()
    worker.wait()
    wait_for(lambda: not alive(marker), seconds=30)


def test_limits_hold_here_and_there(remote):
    limits = {"limits": {"file_size": "8KB", "open_files": 32}}
    runbook("small", [shell("ulimit -n; head -c 100000 /dev/zero > big; echo survived", with_=limits)])
    run = finish(start("small", agent(1)))
    assert run.state == RunState.FAILED
    assert "32" in text_of(run, "out")
    assert "survived" not in text_of(run, "out")


def test_every_connection_can_be_tried(remote, shop):
    from tests.factories import UserFactory

    admin = UserFactory(role="administrator")
    for name in ("host", "postgres", "http", "paths"):
        checked = actions.test_connection(target=remote, name=name, by=admin)
        assert checked.ok, (name, checked.message)
    Target.objects.update(connections=remote.connections | {"postgres": remote.connections["postgres"] | {"port": 1}})
    remote.refresh_from_db()
    checked = actions.test_connection(target=remote, name="postgres", by=admin)
    assert not checked.ok
    assert shop["password"] not in checked.message


def test_each_use_of_a_secret_is_recorded(remote):
    runbook("far", [shell("true")])
    run = finish(start("far", agent(1)))
    assert set(SecretUse.objects.filter(execution=run).values_list("secret__name", flat=True)) == {
        "ssh-key",
        "database-password",
    }


# ------------------------------------------------------------------------------------------- redis
@pytest.fixture
def cache(target):
    from urllib.parse import urlsplit

    parts = urlsplit(settings.REDIS_URL)
    where = (
        {"socket": parts.path.split("?")[0]}
        if parts.scheme == "unix"
        else {"host": parts.hostname, "port": parts.port or 6379}
    )
    where |= {"password": {"secret": "redis"}} if parts.password else {}
    actions.save_target(
        slug="shop",
        name="Shop",
        environment="test",
        connections=target.connections | {"redis": {**where, "db": 9}},
        secrets={"redis": parts.password or "-"},
    )


def test_redis_takes_arguments_as_they_are(cache):
    value = "a b\r\nFLUSHALL\r\n$(x) 'q' \u00e4"
    runbook(
        "keep",
        [
            one("redis", {"command": "SET", "args": ["desk-test", "{word}", "EX", 60]}, effect="idempotent")
            | {"id": "set"},
            one("redis", {"command": "GET", "args": ["desk-test"]}) | {"id": "get"},
        ],
        params={"word": {"type": "string", "label": "Word"}},
    )
    run = finish(start("keep", agent(1), params={"word": value}))
    assert run.state == RunState.SUCCEEDED, text_of(run)
    assert run.steps.get(step_id="get").result["value"] == value


# ------------------------------------------------------------------------------------ files and logs
@pytest.fixture
def folders(target):
    folders = target.connections["paths"]["folders"]
    return Path(folders["logs"]), Path(folders["backups"])


def test_files_are_deleted_but_for_the_newest_and_never_through_a_link(target, folders, tmp_path):
    _, backups = folders
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.gz").write_text("x")
    (backups / "link").symlink_to(outside)
    for age in range(6):
        path = backups / f"db-{age}.gz"
        path.write_text("x" * 10)
        os.utime(path, (time.time() - age * 86_400, time.time() - age * 86_400))
    with_ = {
        "action": "delete",
        "folder": "backups",
        "pattern": "db-*.gz",
        "older_than": "12h",
        "keep_newest": 3,
        "depth": 3,
    }
    runbook("tidy", [one("files", with_, effect="idempotent")])
    run = finish(start("tidy", agent(1)))
    assert run.state == RunState.SUCCEEDED, run.summary
    assert sorted(path.name for path in backups.glob("db-*")) == ["db-0.gz", "db-1.gz", "db-2.gz"]
    assert (outside / "precious.gz").exists()
    assert (result_of(run)["deleted"], result_of(run)["alike"]) == (3, 6)


def test_a_value_in_a_pattern_is_a_name_and_no_glob(target, folders):
    params = {"name": {"type": "string", "label": "Name"}}
    with_ = {"action": "delete", "folder": "backups", "pattern": "{name}", "keep_newest": 1}
    (folders[1] / "a.gz").write_text("x")
    (folders[1] / "b.gz").write_text("x")
    runbook("tidy", [one("files", with_, effect="idempotent")], params=params)
    run = finish(start("tidy", agent(1), params={"name": "*"}))
    assert result_of(run)["alike"] == 0
    assert (folders[1] / "a.gz").exists()


def test_an_old_newest_file_is_a_warning(target, folders):
    os.utime(folders[1] / "shop.sql.gz", (0, 0))
    runbook("fresh", [one("files", {"action": "age", "folder": "backups", "pattern": "*.gz", "max_age": "26h"})])
    run = finish(start("fresh", agent(1)))
    assert run.steps.get().state == StepState.WARNED


def test_logs_are_searched_since_a_time_through_rotated_and_gzipped_files(target, folders):
    logs, _ = folders
    with gzip.open(logs / "app.log.2.gz", "wt") as file:
        file.write("2026-01-01T00:00:00Z ERROR ancient\n2026-01-03T00:00:00Z ERROR packed\n  at trace\n")
    (logs / "app.log.1").write_text("2026-01-04 10:00:00 INFO fine\n2026-01-04 10:00:01 ERROR rotated\n")
    (logs / "app.log").write_text(
        '127.0.0.1 - - [05/Jan/2026:09:00:00 +0100] "GET /" ERROR web\nno date ERROR follows\n'
    )
    with_ = {
        "action": "search",
        "folder": "logs",
        "file": "app.log",
        "pattern": "error",
        "ignore_case": True,
        "since": "2026-01-02T00:00:00Z",
        "newest": 10,
    }
    runbook("errors", [one("logs", with_)])
    run = finish(start("errors", agent(1)))
    assert run.state == RunState.SUCCEEDED, run.summary
    found = result_of(run)
    assert found["count"] == 4
    assert [line.rpartition("ERROR ")[2] for line in found["newest"]] == ["packed", "rotated", "web", "follows"]


def test_percentiles_of_a_field_are_judged(target, folders):
    logs, _ = folders
    lines = [json.dumps({"time": "2999-01-01T00:00:00Z", "http": {"ms": n}}) for n in range(1, 1001)]
    (logs / "access.log").write_text("\n".join(lines))
    with_ = {
        "action": "percentile", "folder": "logs", "file": "access.log", "json_field": "http.ms",
        "thresholds": {"column": "p95", "warning": 500, "critical": 1000, "unit": "ms"},
    }  # fmt: skip
    runbook("slow", [one("logs", with_)])
    run = finish(start("slow", agent(1)))
    assert run.steps.get().state == StepState.WARNED
    assert result_of(run)["percentiles"] == {"p50": 500, "p95": 950, "p99": 990}
    assert result_of(run)["metrics"][0]["level"] == "warning"


def test_a_log_name_cannot_climb_out_of_its_folder(target, folders):
    (folders[0] / "passwd").symlink_to("/etc/passwd")
    runbook(
        "peek",
        [one("logs", {"folder": "logs", "file": "{name}", "pattern": "root"})],
        params={"name": {"type": "string", "label": "Name"}},
    )
    for name in ("../../etc/passwd", "/etc/passwd", "passwd"):
        run = finish(start("peek", agent(1), params={"name": name}))
        assert run.state == RunState.FAILED, name
        assert "root:" not in text_of(run)


# --------------------------------------------------------------------------------------------- sql
def test_an_identifier_comes_from_its_list_or_not_at_all(target):
    with_ = {"query": "SELECT count(*) AS n FROM {table}", "identifiers": {"table": ["orders", "pg_catalog.pg_class"]}}
    runbook("count", [one("sql", with_)], params={"table": {"type": "string", "label": "Table"}})
    run = finish(start("count", agent(1), params={"table": "orders"}))
    assert result_of(run)["rows"] == [{"n": 40}]
    assert finish(start("count", agent(1), params={"table": "pg_catalog.pg_class"})).state == RunState.SUCCEEDED
    run = finish(start("count", agent(1), params={"table": 'orders"; DROP TABLE orders; --'}))
    assert (run.state, "must be one of" in run.summary) == (RunState.FAILED, True)


def test_vacuum_runs_outside_a_transaction(target):
    runbook(
        "vacuum",
        [one("sql", {"query": "VACUUM orders", "read_only": False, "transaction": False}, effect="idempotent")],
    )
    run = finish(start("vacuum", agent(1)))
    assert run.state == RunState.SUCCEEDED, run.summary


@pytest.mark.parametrize("dry_run", [True, False])
def test_one_statement_is_one_statement(target, shop, dry_run):
    import psycopg

    query = "DELETE FROM orders WHERE id < 0; COMMIT; DELETE FROM orders"
    runbook("sneaky", [one("sql", {"query": query, "read_only": False}, effect="idempotent")])
    run = finish(start("sneaky", agent(1), dry_run=dry_run))
    assert "multiple commands" in run.steps.get().message
    with psycopg.connect(**shop) as server:
        assert server.execute("SELECT count(*) FROM orders").fetchone()[0] == 40


# -------------------------------------------------------------------------------------------- http
def test_a_private_address_needs_an_administrators_word(target):
    http = {key: value for key, value in target.connections["http"].items() if key != "private"}
    Target.objects.update(connections=target.connections | {"http": http})
    runbook("ask", [one("http", {"path": "/x"})])
    run = finish(start("ask", agent(1)))
    assert run.state == RunState.FAILED
    assert "private" in run.summary


def test_a_name_that_changes_after_it_was_checked_leads_nowhere_else(target, monkeypatch):
    """DNS rebinding: a public address when it is checked, a loopback one a moment later."""
    Target.objects.update(connections=target.connections | {"http": {"base_url": "http://shop.example"}})
    answers, asked = iter(["93.184.215.14", "127.0.0.1", "127.0.0.1"]), []
    resolve = socket.getaddrinfo

    def answer(host, port, *args, **more):
        if host != "shop.example":
            return resolve(host, port, *args, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    async def connect(self, host, port, *args, **more):
        asked.append(host)
        raise httpcore.ConnectError("nobody is asked in a test")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    monkeypatch.setattr("httpcore._backends.auto.AutoBackend.connect_tcp", connect)
    runbook("ask", [one("http", {"path": "/x"})])
    assert finish(start("ask", agent(1))).state == RunState.FAILED
    assert asked == ["93.184.215.14"]
    assert "private" in finish(start("ask", agent(1))).summary
    assert len(asked) == 1


@pytest.mark.parametrize(("name", "state"), [("shop.example", "succeeded"), ("other.example", "failed")])
def test_tls_asks_for_the_name_though_the_address_is_pinned(target, monkeypatch, tmp_path, name, state):
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve(host.replace(name, "127.0.0.1"), *rest, **more)
    )
    with https_server(tmp_path, "shop.example") as port:
        http = {"base_url": f"https://{name}:{port}", "private": True, "ca_file": str(tmp_path / "cert.pem")}
        Target.objects.update(connections=target.connections | {"http": http})
        runbook("ask", [one("http", {"path": "/x", "assertions": ["json.host == 'shop.example:" + str(port) + "'"]})])
        run = finish(start("ask", agent(1)))
    assert run.state == state, run.summary
    assert state == "succeeded" or "CERTIFICATE_VERIFY_FAILED" in run.summary


@contextmanager
def https_server(folder, name):
    """A server that proves to be `name`, and says which host it was asked for: its port."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"host": self.headers["Host"]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_assertions_on_the_answer_and_paths_that_do_not_climb(target):
    params = {"id": {"type": "string", "label": "Id"}}
    with_ = {"path": "/orders/{id}", "assertions": ["json.status == 'ok'", "milliseconds < 5000"]}
    runbook("ask", [one("http", with_)], params=params)
    assert finish(start("ask", agent(1), params={"id": "a%2f/ä?x=1#y"})).state == RunState.SUCCEEDED
    assert SEEN[-1]["path"] == "/orders/a%252f%2F%C3%A4%3Fx%3D1%23y"
    assert finish(start("ask", agent(1), params={"id": "aä"})).state == RunState.SUCCEEDED
    assert "climbs" in finish(start("ask", agent(1), params={"id": ".."})).summary
    runbook("ask", [one("http", {"path": "/x", "assertions": ["json.status == 'bad'"]})])
    assert "Does not hold" in finish(start("ask", agent(1))).summary


# --------------------------------------------------------------------------------------- services
@pytest.fixture
def supervised(target, tmp_path):
    """A real supervisord with one program."""
    import sys

    program = needs("supervisord", among=[str(Path(sys.executable).parent / "supervisord")])
    sock = f"/tmp/desk-sv-{os.getpid()}-{time.monotonic_ns() % 10**6}.sock"
    config = tmp_path / "supervisord.conf"
    config.write_text(
        f"[supervisord]\nlogfile={tmp_path}/log\npidfile={tmp_path}/pid\nnodaemon=true\n[unix_http_server]\nfile={sock}\n"
        f"[supervisorctl]\nserverurl=unix://{sock}\n[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
        "[program:orders]\ncommand=sleep 1000\nstartsecs=0\n"
    )
    server = subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: Path(sock).exists())
    services = {
        "manager": "supervisor",
        "allowed": ["orders"],
        "config": str(config),
        "program": str(Path(program).with_name("supervisorctl")),
    }
    actions.save_target(
        slug="shop", name="Shop", environment="test", connections=target.connections | {"services": services}
    )
    yield
    server.terminate()
    server.wait(timeout=15)
    Path(sock).unlink(missing_ok=True)


def service(action, **more):
    return one(
        "service",
        {"action": action, "service": "orders", **more},
        effect="none" if action == "status" else "idempotent",
    )


def test_supervisor_stops_starts_and_restarts_a_real_program(supervised):
    for action, states in (
        ("status", ["running"]),
        ("stop", ["stopped"]),
        ("start", ["running"]),
        ("restart", ["running"]),
    ):
        runbook("svc", [service(action)])
        run = finish(start("svc", agent(1)))
        assert run.state == RunState.SUCCEEDED, (action, text_of(run))
        assert result_of(run)["states"] == states
    runbook(
        "svc",
        [one("service", {"action": "restart", "service": "{name}"}, effect="idempotent")],
        params={"name": {"type": "string", "label": "Name"}},
    )
    for name in ("all", "orders; reboot", "--help"):
        assert "allows orders" in finish(start("svc", agent(1), params={"name": name})).summary


@pytest.fixture
def pm2(target, tmp_path):
    """A real pm2 with one process, its home apart."""
    program = needs("pm2", among=[os.environ.get("PM2", "/nonexistent")])
    env = os.environ | {"PM2_HOME": str(tmp_path / "pm2")}
    script = tmp_path / "orders.js"
    script.write_text("setInterval(() => {}, 1000)")
    subprocess.run(
        [program, "start", str(script), "--name", "orders", "-i", "1"],
        env=env,
        check=True,
        capture_output=True,
        timeout=60,
    )
    services = {"manager": "pm2", "allowed": ["orders"], "home": str(tmp_path / "pm2"), "program": program}
    actions.save_target(
        slug="shop", name="Shop", environment="test", connections=target.connections | {"services": services}
    )
    yield
    subprocess.run([program, "kill"], env=env, check=False, capture_output=True, timeout=60)


def test_pm2_stops_scales_and_restarts_a_real_process(pm2):
    for action, more, states in (
        ("status", {}, ["online"]),
        ("stop", {}, ["stopped"]),
        ("restart", {}, ["online"]),
        ("scale", {"count": 3}, ["online"] * 3),
        ("scale", {"count": 1}, ["online"]),
    ):
        runbook("svc", [service(action, **more)])
        run = finish(start("svc", agent(1)))
        assert run.state == RunState.SUCCEEDED, (action, text_of(run), run.summary)
        assert result_of(run)["states"] == states


def test_the_commands_of_systemd_and_docker_compose():
    """Contracts: what is sent, and what is read of recorded answers."""
    systemd = Systemd({"manager": "systemd"})
    assert systemd.argv("restart", "nginx.service", None) == ["systemctl", "restart", "--", "nginx.service"]
    assert systemd.argv("status", "nginx", None) == [
        "systemctl",
        "show",
        "--property=ActiveState,SubState",
        "--",
        "nginx",
    ]
    assert systemd.states("ActiveState=active\nSubState=running\n", "nginx") == ["active"]
    assert systemd.states("ActiveState=inactive\nSubState=dead\n", "nginx") == ["inactive"]
    docker = DockerCompose({"manager": "docker-compose", "config": "/srv/compose.yml"})
    base = ["docker", "compose", "--file", "/srv/compose.yml"]
    assert docker.argv("stop", "web", None) == [*base, "stop", "--", "web"]
    assert docker.argv("scale", "web", 3) == [*base, "up", "--detach", "--no-recreate", "--scale", "web=3", "--", "web"]
    lines = '{"Name":"shop-web-1","Service":"web","State":"running"}\n{"Name":"shop-web-2","Service":"web","State":"exited"}\n'
    assert docker.states(lines, "web") == ["running", "exited"]
    assert docker.states('[{"Name":"shop-web-1","Service":"web","State":"running"}]', "web") == ["running"]


def test_a_running_step_kind_that_breaks_is_a_failed_step(target, monkeypatch):
    from runbooks import steps

    monkeypatch.setattr(steps.kinds()["metric"], "run", lambda context: 1 / 0)
    runbook("odd", [one("metric", {"value": 1, "name": "x", "warning": 1, "critical": 2})])
    run = finish(start("odd", agent(1)))
    assert run.state == RunState.FAILED
    assert "ZeroDivisionError" in run.summary
    assert StepRun.objects.get(execution=run).state == StepState.FAILED
