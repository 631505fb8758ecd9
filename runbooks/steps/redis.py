"""`redis`: one command with its arguments as they are; only commands that read, unless it says otherwise."""

import json
import threading
from typing import Any

import redis
from pydantic import Field
from redis.backoff import NoBackoff
from redis.retry import Retry

from runbooks.definition.scalars import Connection, Strict, Text
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result

READS = frozenset(
    [
        "PING",
        "INFO",
        "DBSIZE",
        "GET",
        "MGET",
        "STRLEN",
        "EXISTS",
        "TTL",
        "PTTL",
        "TYPE",
        "SCAN",
        "KEYS",
        "LLEN",
        "LRANGE",
        "LINDEX",
        "HGET",
        "HGETALL",
        "HLEN",
        "HKEYS",
        "HSCAN",
        "SCARD",
        "SMEMBERS",
        "SISMEMBER",
        "SSCAN",
        "ZCARD",
        "ZRANGE",
        "ZSCORE",
        "ZCOUNT",
        "ZSCAN",
        "XLEN",
        "XRANGE",
        "XINFO",
        "MEMORY",
        "SLOWLOG",
        "LATENCY",
        "LASTSAVE",
        "ROLE",
        "TIME",
        "RANDOMKEY",
        "OBJECT",
        "COMMAND",
    ]
)
FORBIDDEN = frozenset({"EVAL", "EVALSHA", "SCRIPT", "FUNCTION", "FCALL", "DEBUG", "SHUTDOWN", "MODULE", "SUBSCRIBE", "PSUBSCRIBE", "MONITOR", "REPLICAOF", "SLAVEOF", "SYNC", "PSYNC", "MIGRATE", "ACL", "AUTH", "HELLO", "MULTI", "EXEC", "WATCH", "BLPOP", "BRPOP", "BLMOVE", "XREAD", "WAIT"})  # fmt: skip
_HALF = {("MEMORY", "PURGE"), ("SLOWLOG", "RESET"), ("LATENCY", "RESET")}
MOST_ITEMS = 1000


class RedisWith(Strict):
    """A command and its arguments: each is sent as it is, whatever it holds."""

    connection: Connection = "redis"
    command: str = Field(pattern=r"^[A-Za-z]+$", max_length=20)
    args: list[Text] = Field(default=[], max_length=100)


class Redis(Kind):
    name = "redis"
    With = RedisWith
    templated = frozenset({"args"})
    only_reads = True

    def acts(self, with_: RedisWith) -> bool:
        command = with_.command.upper()
        first = str(with_.args[0]).upper() if with_.args else ""
        return command not in READS or (command, first) in _HALF

    def acts_because(self, with_: RedisWith) -> str:
        return f"sends {with_.command.upper()}, which may change something,"

    def needs(self, with_: RedisWith) -> set[str]:
        return {with_.connection}

    def problems(self, with_: RedisWith, params: set[str]) -> list[str]:
        if with_.command.upper() in FORBIDDEN:
            return [f"sends {with_.command.upper()}, which no step may"]
        if (
            with_.args
            and with_.command.upper() in {"MEMORY", "SLOWLOG", "LATENCY", "CONFIG", "OBJECT"}
            and "{" in str(with_.args[0])
        ):
            return ["fills in a subcommand, which decides what it does; write it out"]
        return []

    def run(self, context: Context) -> Result:
        """Send it; the answer becomes text in the output and data for the page."""
        with_ = context.with_
        client = client_of(context.connection(with_.connection, "redis"), timeout=context.seconds_left)
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.1):
                if context.stopped.is_set():
                    client.connection_pool.disconnect()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            answer = client.execute_command(with_.command.upper(), *[value.encode() for value in with_.args])
        except (redis.RedisError, OSError) as error:
            if context.stopped.is_set() or context.seconds_left <= 0:
                return context.ended_early()
            return Result(StepState.FAILED, f"{with_.command.upper()}: {error}"[:500])
        finally:
            done.set()
            watcher.join(timeout=2)
            client.close()
        shown = _plain(answer)
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False, indent=1)
        context.output.feed("out", f"{text}\n".encode(errors="replace"))
        context.output.finish_step()
        count = f"{len(shown)} items" if isinstance(shown, list | dict) else str(shown)[:80]
        return Result(StepState.SUCCEEDED, f"{with_.command.upper()}: {count}", {"value": shown})

    def preview(self, context: Context) -> Result:
        words = " ".join(map(str, context.with_.args))
        return Result(StepState.SKIPPED, f"It would send {context.with_.command.upper()} {words}"[:500])


def client_of(server: Any, *, timeout: float) -> redis.Redis:
    """A client for a connection of a target."""
    common: dict[str, Any] = {
        "db": server.get("db", 0), "username": server.get("username"), "password": server.get("password") or None,
        "socket_timeout": max(1.0, timeout), "client_name": "supportdesk",
        "retry": Retry(NoBackoff(), 0),  # a command whose answer is lost is not sent again
    }  # fmt: skip
    if server.get("socket"):
        return redis.Redis(unix_socket_path=server["socket"], **common)
    return redis.Redis(
        host=server["host"],
        port=server.get("port", 6379),
        ssl=server.get("tls", False),
        socket_connect_timeout=10,
        **common,
    )


def _plain(value: Any, depth: int = 0) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict) and depth < 5:
        return {str(_plain(key)): _plain(item, depth + 1) for key, item in list(value.items())[:MOST_ITEMS]}
    if isinstance(value, list | tuple | set) and depth < 5:
        return [_plain(item, depth + 1) for item in list(value)[:MOST_ITEMS]]
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


KIND = Redis
