"""Measure. Uses DATABASE_URL's database `supportdesk_bench`, or an embedded server that ends with the command."""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supportdesk.embedded import places, processes, servers


class Started:
    """The servers that this command started, which it may also restart."""

    def __init__(self) -> None:
        self.servers: dict[str, Any] = {}
        self.children: dict[str, processes.Child] = {}

    def start(self, name: str, server: Any) -> None:
        self.servers[name] = server
        self.children[name] = server.start()

    def again(self, name: str) -> Callable[[], None] | None:
        """What kills the server and starts it again; None where it is not ours."""
        if name not in self.servers:
            return None

        def restart() -> None:
            self.children[name].kill_group()
            self.children[name].process.wait(timeout=30)
            time.sleep(1)
            self.children[name] = self.servers[name].start()

        return restart


@contextmanager
def database(keep: Path | None) -> Iterator[Started]:
    """A server with ordinary settings; with --data it is kept from one command to the next."""
    data = keep or Path(tempfile.mkdtemp(prefix="desk-bench-"))
    where = places.find(data.resolve())
    started = Started()
    try:
        if not os.environ.get("DATABASE_URL"):
            server = servers.Postgres(where, "bench", 5434, ("shared_buffers=512MB", "max_wal_size=4GB"))
            started.start("postgres", server)
            server.ensure_database("supportdesk_bench")
            os.environ["DATABASE_URL"] = server.url("supportdesk_bench")
        broker = servers.Redis.plan(where)
        if not os.environ.get("REDIS_URL"):
            started.start("redis", broker)
            os.environ["REDIS_URL"] = broker.url
        yield started
    finally:
        for child in started.children.values():
            child.stop()
        for child in started.children.values():
            child.process.wait(timeout=60)
        if keep is None:
            shutil.rmtree(data, ignore_errors=True)
            if not where.servers.is_relative_to(data):
                shutil.rmtree(where.servers.parent, ignore_errors=True)


def _django(data: Path | None) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "supportdesk.settings",
        "DESK_ENV": "development",
        "DESK_LOG_LEVEL": "ERROR",
    }
    if data:
        os.environ["DESK_DATA"] = str(data.resolve())
    import django
    from django.conf import settings
    from django.core.management import call_command

    django.setup()
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def _load(count: int) -> None:
    from bench.corpus import Corpus

    result = Corpus(count).load()
    print(f"loaded {result['tickets']:,} tickets with {result['messages']:,} messages in {result['seconds']:.1f} s")


def _pages(sizes: list[int], rounds: int) -> None:
    from bench import pages

    found: dict[str, dict[int, dict[str, Any]]] = {}
    for size in sizes:
        if size:
            _load(size)
        for row in pages.run(rounds=rounds):
            found.setdefault(row["name"], {})[size] = row
    print(
        f"\n{'':28}"
        + "".join(f"{f'{size:,} tickets' if size else 'as it is':>36}" for size in sizes)
        + ("   ratio" if len(sizes) > 1 else "")
    )
    print(f"{'':28}" + f"{'median':>10}{'p95':>10}{'SQL':>6}{'KB':>10}" * len(sizes))
    for name, rows in found.items():
        cells = "".join(
            f"{r['median']:>7.1f} ms{r['p95']:>7.1f} ms{r['queries']:>6}{r['bytes'] / 1024:>10.1f}"
            for r in rows.values()
        )
        first, last = rows[sizes[0]]["median"], rows[sizes[-1]]["median"]
        print(f"{name:28}{cells}" + (f"{last / first:>8.2f}" if len(sizes) > 1 else ""))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--data", type=Path, help="keep the bench database in this folder")
    commands = parser.add_subparsers(dest="command", required=True)
    load = commands.add_parser("load", help="empty the ticket tables and fill them by COPY")
    load.add_argument("--tickets", type=int, default=100_000)
    pages = commands.add_parser("pages", help="queue, ticket, search, API create: median, p95, statements")
    pages.add_argument(
        "--sizes", default="10000,100000", help="corpus sizes to load one after the other; 0 measures what is there"
    )
    pages.add_argument("--rounds", type=int, default=100)
    sla = commands.add_parser("sla", help="the sweep with very many running clocks; empties the ticket tables")
    sla.add_argument("--clocks", type=int, default=1_000_000)
    sla.add_argument("--due", type=int, default=10_000)
    sla.add_argument("--rounds", type=int, default=100)
    api = commands.add_parser("api", help="tickets a second over REST, through the real server")
    api.add_argument("--clients", type=int, default=4)
    api.add_argument("--seconds", type=float, default=20)
    runs = commands.add_parser("runs", help="runbook runs: first line, a minute's worth, 100 MB, browsing many")
    runs.add_argument("--rounds", type=int, default=40)
    runs.add_argument("--short", type=int, default=200)
    runs.add_argument("--stored", type=int, default=10_000)
    torture = commands.add_parser("torture", help="runs on three workers that are killed while servers are restarted")
    torture.add_argument("--runs", type=int, default=300)
    torture.add_argument("--seconds", type=float, default=300)
    torture.add_argument("--seed", type=int, default=1)
    torture.add_argument("--keep-dead", type=int, default=0, help="workers that stay dead once they were killed")
    mail = commands.add_parser("mail", help="mixed mail into tickets: how many a second, and whether memory stays")
    mail.add_argument("--messages", type=int, default=500)
    mail.add_argument("--many", type=int, default=0, help="so many more, to see whether memory stays flat")
    mailstorm = commands.add_parser(
        "mailtorture", help="mail by SMTP and IMAP while everything is killed and restarted"
    )
    mailstorm.add_argument("--messages", type=int, default=1000)
    mailstorm.add_argument("--kills", type=int, default=50)
    mailstorm.add_argument("--seed", type=int, default=1)
    figures = commands.add_parser("reports", help="every report on very many tickets, and against a straight count")
    figures.add_argument("--tickets", type=int, default=1_000_000, help="0 measures what is there")
    figures.add_argument("--rounds", type=int, default=10)
    figures.add_argument("--counted", type=int, default=10_000, help="random tickets that are counted one by one")
    live = commands.add_parser("live", help="open browsers on one web process: events, memory, a restart")
    live.add_argument("--browsers", type=int, default=500)
    live.add_argument("--rounds", type=int, default=10)
    screens = commands.add_parser("screens", help="pictures of every page of a running demo desk, into docs/screens")
    screens.add_argument("--url", default="http://127.0.0.1:8000")
    screens.add_argument("--only", default="", help="pages whose address holds this")
    screens.add_argument("--folder", type=Path, help="instead of docs/screens")
    fuzz = commands.add_parser("mailfuzz", help="mutated messages through the parser and into the database")
    fuzz.add_argument("--cases", type=int, default=20_000)
    fuzz.add_argument("--seed", type=int, default=1)
    fuzz.add_argument("--samples", type=Path, help="a folder of .eml files to mutate, beside the built-in ones")
    return parser


def _sla(options: argparse.Namespace, started: Started) -> int:
    from bench import sla as clocks

    clocks.run(options.clocks, options.due, options.rounds)
    return 0


def _api(options: argparse.Namespace, started: Started) -> int:
    from bench import api as rest

    row = rest.run(clients=options.clients, seconds=options.seconds)
    print(f"{row['created']:,} tickets by {options.clients} clients: {row['rate']:.0f} a second", end="; ")
    print(f"median {row['median']:.1f} ms, p95 {row['p95']:.1f} ms")
    return 0


def _runs(options: argparse.Namespace, started: Started) -> int:
    from bench import runs as runbook_runs

    runbook_runs.run(rounds=options.rounds, short=options.short, stored=options.stored)
    return 0


def _torture(options: argparse.Namespace, started: Started) -> int:
    from bench import torture as tormentor

    report = tormentor.run(
        runs=options.runs, seconds=options.seconds, seed=options.seed, keep_dead=options.keep_dead,
        restart_redis=started.again("redis"), restart_postgres=started.again("postgres"),
    )  # fmt: skip
    did = f"{report.kills} kills, {report.restarts} restarts, {report.cancels} cancels"
    print(f"{options.runs} runs, {report.seconds:.0f} s: {did}\nstates: {report.states}")
    return _judged(report.problems)


def _mail(options: argparse.Namespace, started: Started) -> int:
    from bench import mail

    mail.run(messages=options.messages, many=options.many)
    return 0


def _mailtorture(options: argparse.Namespace, started: Started) -> int:
    from bench import mailtorture

    report = mailtorture.run(
        messages=options.messages, kills=options.kills, seed=options.seed,
        restart_redis=started.again("redis"), restart_postgres=started.again("postgres"),
    )  # fmt: skip
    print(
        f"{options.messages} messages, {report.seconds:.0f} s: {report.kills} kills, {report.restarts} restarts, {report.copies} copies came twice"
    )
    return _judged(report.problems)


def _mailfuzz(options: argparse.Namespace, started: Started) -> int:
    from bench import mailfuzz

    return _judged(mailfuzz.run(cases=options.cases, seed=options.seed, samples=options.samples))


def _reports(options: argparse.Namespace, started: Started) -> int:
    from bench import reports
    from supportdesk import guide

    guide.load()
    if options.tickets:
        _load(options.tickets)
    reports.measure(rounds=options.rounds)
    return _judged(reports.compare(options.counted, seed=1)) if options.counted else 0


def _live(options: argparse.Namespace, started: Started) -> int:
    from bench.live import measure

    return _judged(measure(count=options.browsers, rounds=options.rounds))


def _judged(problems: list[str]) -> int:
    print("\n".join(problems) or "no problem was found")
    return 1 if problems else 0


def main() -> int:
    options = _parser().parse_args()
    commands: dict[str, Callable[[argparse.Namespace, Started], Any]] = {
        "load": lambda given, _: _load(given.tickets), "pages": lambda given, _: _pages([int(size) for size in given.sizes.split(",")], given.rounds),
        "sla": _sla, "api": _api, "runs": _runs, "torture": _torture, "mail": _mail, "mailtorture": _mailtorture, "mailfuzz": _mailfuzz, "reports": _reports,
        "live": _live,
    }  # fmt: skip
    if options.command == "screens":  # the desk runs elsewhere
        from bench.screens import FOLDER, take

        print(f"{take(options.url, options.folder or FOLDER, options.only)} pictures")
        return 0
    with database(options.data) as started:
        _django(options.data)
        return commands[options.command](options, started) or 0


if __name__ == "__main__":
    sys.exit(main())
