"""`service`: status, start, stop, restart or scale a process through what manages it on the target.

Each manager is a table of argv; the service's name must be one that the connection allows.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from runbooks.definition.scalars import Connection, Strict
from runbooks.engine import machines
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result, StepError

UP = {"online", "active", "running"}


class ServiceWith(Strict):
    connection: Connection = "services"
    action: Literal["status", "start", "stop", "restart", "scale"] = "status"
    service: str
    count: int | str | None = Field(default=None, description="For scale: how many of it.")

    @model_validator(mode="after")
    def _counted(self) -> "ServiceWith":
        if (self.action == "scale") != (self.count is not None):
            raise ValueError("count goes with action: scale, and only with it")
        if isinstance(self.count, int) and not 0 <= self.count <= 64:
            raise ValueError("count is 0 to 64")
        return self


class Service(Kind):
    name = "service"
    With = ServiceWith
    templated = frozenset({"service", "count"})
    only_reads = True

    def acts(self, with_: ServiceWith) -> bool:
        return with_.action != "status"

    def acts_because(self, with_: ServiceWith) -> str:
        return f"does {with_.action}"

    def needs(self, with_: ServiceWith) -> set[str]:
        return {with_.connection}

    def run(self, context: Context) -> Result:
        """Do it, then ask for the status: an action has worked when the service is in the state that it means."""
        manager, host = _manager(context)
        action = context.with_.action
        if action != "status":
            argv = manager.command(action, context.with_.service, _count(context))
            end = machines.run(context, machines.Command(argv, manager.env), host)
            context.output.finish_step()
            trouble = end.trouble(context)
            if trouble is not None or end.exit != 0:
                return trouble or Result(StepState.FAILED, f"{' '.join(argv[:3])}: exit code {end.exit}.", end.data())
        return _status(context, manager, host)

    def preview(self, context: Context) -> Result:
        """The command that it would run, and how the service is now."""
        manager, host = _manager(context)
        argv = manager.command(context.with_.action, context.with_.service, _count(context))
        now = _status(context, manager, host, judged=False)
        return Result(StepState.SKIPPED, f"It would run {' '.join(argv)}. Now: {now.message}"[:500], now.data)


class Manager:
    """How one service manager is spoken to."""

    env: Mapping[str, str] = {"PATH": machines.PATH, "LANG": "C.UTF-8"}

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self.connection = connection

    def command(self, action: str, service: str, count: int | None = None) -> list[str]:
        """The argv, with the program where the connection says that it is."""
        first, *rest = self.argv(action, service, count)
        return [self.connection.get("program") or first, *rest]

    def argv(self, action: str, service: str, count: int | None) -> list[str]:
        raise NotImplementedError

    def states(self, text: str, service: str) -> list[str]:
        """The states of the service's processes in what the status command wrote; empty where there are none."""
        raise NotImplementedError


class Pm2(Manager):
    def __init__(self, connection: Mapping[str, Any]) -> None:
        super().__init__(connection)
        home = connection.get("home")
        self.env = {**Manager.env, **({"PM2_HOME": home} if home else {})}

    def argv(self, action: str, service: str, count: int | None) -> list[str]:
        if action == "status":
            return ["pm2", "jlist"]
        words = ["pm2", "--no-color", action, service]
        return [*words, str(count)] if action == "scale" else words

    def states(self, text: str, service: str) -> list[str]:
        at = text.find("[{") if "[{" in text else text.find("[]")
        try:
            rows = json.JSONDecoder().raw_decode(text[at:])[0] if at >= 0 else []
        except ValueError:
            return []
        return [row.get("pm2_env", {}).get("status", "") for row in rows if row.get("name") == service]


class Systemd(Manager):
    def argv(self, action: str, service: str, count: int | None) -> list[str]:
        if action == "scale":
            raise StepError("systemd does not scale a unit; use template units and start each.")
        if action == "status":
            return ["systemctl", "show", "--property=ActiveState,SubState", "--", service]
        return ["systemctl", action, "--", service]

    def states(self, text: str, service: str) -> list[str]:
        return re.findall(r"^ActiveState=(\S+)", text, re.MULTILINE)


class DockerCompose(Manager):
    def argv(self, action: str, service: str, count: int | None) -> list[str]:
        config = self.connection.get("config")
        words = ["docker", "compose", *(["--file", config] if config else [])]
        if action == "status":
            return [*words, "ps", "--all", "--format", "json", "--", service]
        if action == "scale":
            return [*words, "up", "--detach", "--no-recreate", "--scale", f"{service}={count}", "--", service]
        return [*words, action, "--", service]

    def states(self, text: str, service: str) -> list[str]:
        """One JSON object a line, or one list, as the versions of compose differ."""
        found = []
        for line in text.splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:
                continue
            rows = parsed if isinstance(parsed, list) else [parsed]
            found += [
                row.get("State", "") for row in rows if isinstance(row, dict) and row.get("Service", service) == service
            ]
        return found


class Supervisor(Manager):
    def argv(self, action: str, service: str, count: int | None) -> list[str]:
        if action == "scale":
            raise StepError("supervisor has no scale; set numprocs in its configuration.")
        config = self.connection.get("config")
        return ["supervisorctl", *(["-c", config] if config else []), action, service]

    def states(self, text: str, service: str) -> list[str]:
        return [
            state.lower()
            for name, state in re.findall(r"^(\S+)\s+([A-Z]+)\b", text, re.MULTILINE)
            if name == service or name.partition(":")[0] == service
        ]


MANAGERS = {"pm2": Pm2, "systemd": Systemd, "docker-compose": DockerCompose, "supervisor": Supervisor}


def _manager(context: Context) -> tuple[Manager, Mapping[str, Any] | None]:
    connection = context.connection(context.with_.connection, "services")
    service = context.with_.service
    if service not in connection["allowed"]:
        raise StepError(f"The connection allows {', '.join(connection['allowed'])}, not {service}.")
    name = connection.get("host", "host")
    host = machines.machine(context, None if name == "host" else name)
    return MANAGERS[connection["manager"]](connection), host


def _count(context: Context) -> int | None:
    if context.with_.count is None:
        return None
    if not str(context.with_.count).isdecimal() or int(context.with_.count) > 64:
        raise StepError("count is a whole number from 0 to 64.")
    return int(context.with_.count)


def _status(context: Context, manager: Manager, host: Any, *, judged: bool = True) -> Result:
    taken: list[bytes] = []
    argv = manager.command("status", context.with_.service)
    end = machines.run(context, machines.Command(argv, manager.env), host, take=taken.append)
    context.output.finish_step()
    trouble = end.trouble(context)
    if trouble is not None:
        return trouble
    states = manager.states(b"".join(taken).decode(errors="replace"), context.with_.service)
    service, action = context.with_.service, context.with_.action
    words = (
        f"{service} is {', '.join(states)}"
        if states
        else f"{service} is not known to {context.connection(context.with_.connection, 'services')['manager']}"
    )
    context.output.feed("out", f"{words}\n".encode())
    context.output.finish_step()
    data = {"states": states, "running": sum(state in UP for state in states), "exit": end.exit}
    if not judged:
        return Result(StepState.SUCCEEDED, words, data)
    wanted_down = action == "stop" or (action == "scale" and _count(context) == 0)
    good = data["running"] == 0 if wanted_down else bool(states) and data["running"] == len(states)
    if action == "status":
        return Result(StepState.SUCCEEDED if good else StepState.WARNED, words, data)
    return Result(StepState.SUCCEEDED if good else StepState.FAILED, words, data)


KIND = Service
