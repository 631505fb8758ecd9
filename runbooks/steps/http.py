"""`http`: one request below a connection's address. TLS verified; redirects stay there; private addresses only if allowed."""

import asyncio
import json
import time
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx
from pydantic import Field

from runbooks import expressions, web
from runbooks.definition.scalars import Connection, Strict, Text
from runbooks.models import StepState
from runbooks.steps import Context, Kind, Result, StepError

MOST_BODY = 256 * 1024
MOST_REDIRECTS = 5
SAFE = {"GET", "HEAD"}


class HttpWith(Strict):
    """A request. `assertions` are expressions over `json`, `status`, `text` and `milliseconds`."""

    connection: Connection = "http"
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: str = Field(pattern=r"^/[^\s?#\\]*$")
    query: dict[str, Text] = {}
    headers: dict[str, Text] = {}
    json_body: dict[str, Any] | list[Any] | None = None
    status: list[int] = [200]
    redirects: bool = False
    assertions: list[str] = []


class Http(Kind):
    name = "http"
    With = HttpWith
    templated = frozenset({"query", "headers", "json_body", "path"})
    escapes = {"path": lambda value: quote(value, safe="")}
    only_reads = True

    def acts(self, with_: HttpWith) -> bool:
        return with_.method not in SAFE

    def acts_because(self, with_: HttpWith) -> str:
        return f"sends {with_.method}"

    def needs(self, with_: HttpWith) -> set[str]:
        return {with_.connection}

    def problems(self, with_: HttpWith, params: set[str]) -> list[str]:
        found = []
        for text in with_.assertions:
            try:
                node = expressions.parse(text)
            except expressions.ExpressionError as error:
                found.append(f"assertion {text!r}: {error}")
                continue
            known = {"json", "status", "text", "milliseconds", "params"} | params
            found += [
                f"assertion {text!r}: there is no {one.path[0]}"
                for one in expressions.lookups(node)
                if one.path[0] not in known
            ]
        return found

    def run(self, context: Context) -> Result:
        """Send the request; success is a status that the step expects and every assertion holding."""
        with_, connection = context.with_, context.connection(context.with_.connection, "http")
        url = _url(connection, with_.path)
        headers = {"User-Agent": "Supportdesk", "Accept": "application/json, */*;q=0.5", **_headers(with_.headers)}
        if connection.get("token"):
            headers["Authorization"] = f"Bearer {connection['token']}"
        context.output.say(f"$ {with_.method} {url}")
        request = httpx.Request(with_.method, url, params=with_.query, json=with_.json_body, headers=headers)
        try:
            answer = asyncio.run(_fetch(request, context, connection))
        except (httpx.HTTPError, httpx.InvalidURL, web.PrivateAddress, OSError) as error:
            return Result(StepState.FAILED, f"{url} did not answer: {error or type(error).__name__}"[:500])
        if answer is None:
            if context.stopped.is_set():
                return Result(StepState.CANCELLED, "Stopped.")
            return Result(StepState.FAILED, f"{url} took longer than the step's timeout."[:500])
        return _judge(context, *answer)

    def preview(self, context: Context) -> Result:
        with_, connection = context.with_, context.connection(context.with_.connection, "http")
        body = f" with {json.dumps(with_.json_body)}" if with_.json_body is not None else ""
        return Result(StepState.SKIPPED, f"It would send {with_.method} {_url(connection, with_.path)}{body}"[:500])


def _url(connection: Any, path: str) -> str:
    """The address, with everything that is not plain in the path escaped; `..` does not climb out of the base."""
    parts = path.split("/")
    if any(part in {".", ".."} for part in parts):
        raise StepError(f"The path {path} climbs; write it without . and .. parts.")
    return str(connection["base_url"]).rstrip("/") + "/".join(quote(part, safe="%:@!$&'()*+,;=~-._") for part in parts)


def _headers(given: dict[str, Any]) -> dict[str, str]:
    for name, value in given.items():
        if not name.replace("-", "").isalnum() or any(ord(c) < 32 or ord(c) > 126 for c in str(value)):
            raise StepError(f"The header {name} holds what a header cannot: it must be one line of plain ASCII.")
    return {name: str(value) for name, value in given.items()}


def _judge(context: Context, response: httpx.Response, content: bytes, took: float) -> Result:
    with_ = context.with_
    context.output.feed("out", f"HTTP {response.status_code} in {took:.0f} ms\n".encode() + content[:MOST_BODY] + b"\n")
    context.output.finish_step()
    data: dict[str, Any] = {"status": response.status_code, "milliseconds": round(took)}
    text = content[:MOST_BODY].decode(response.charset_encoding or "utf-8", errors="replace")
    if "json" in response.headers.get("content-type", "") and len(content) <= MOST_BODY:
        try:
            data["json"] = json.loads(content)
        except ValueError:
            data["json"] = None
    if response.status_code not in with_.status:
        expected = " or ".join(map(str, with_.status))
        return Result(StepState.FAILED, f"HTTP {response.status_code}, expected {expected}.", data)
    names = {**data, "json": data.get("json"), "text": text, "params": context.params}
    data["assertions"] = [{"text": one, "holds": _holds(one, names)} for one in with_.assertions]
    wrong = [one["text"] for one in data["assertions"] if not one["holds"]]
    if wrong:
        return Result(StepState.FAILED, f"Does not hold: {'; '.join(wrong)}"[:500], data)
    return Result(StepState.SUCCEEDED, f"HTTP {response.status_code} in {took:.0f} ms", data)


def _holds(text: str, names: dict[str, Any]) -> bool:
    try:
        return bool(expressions.evaluate(expressions.parse(text), names))
    except expressions.ExpressionError:
        return False


async def _fetch(
    request: httpx.Request, context: Context, connection: Any
) -> tuple[httpx.Response, bytes, float] | None:
    """Send and read some of the answer; None as soon as the run is stopped or the step's time is over."""
    task = asyncio.ensure_future(_send(request, context, connection))
    while not task.done():
        await asyncio.wait({task}, timeout=0.1)
        if not task.done() and (context.stopped.is_set() or context.seconds_left <= 0):
            task.cancel()
            await asyncio.wait({task})
            return None
    return task.result()


async def _send(request: httpx.Request, context: Context, connection: Any) -> tuple[httpx.Response, bytes, float]:
    begun = time.monotonic()
    async with web.client(connection, timeout=60.0) as client:
        for _ in range(MOST_REDIRECTS + 1):
            response = await client.send(request, stream=True)
            follow = context.with_.redirects and response.next_request is not None
            if not follow:
                break
            await response.aclose()
            target = response.next_request
            assert target is not None  # noqa: S101 - asked above
            if urlsplit(str(target.url))[:2] != urlsplit(str(request.url))[:2]:
                raise httpx.InvalidURL(f"it redirects to {target.url}, which is another place")
            request = target
        else:
            raise httpx.InvalidURL(f"it redirects more than {MOST_REDIRECTS} times")
        content = b""
        try:
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MOST_BODY:
                    break
        finally:
            await response.aclose()
    return response, content, (time.monotonic() - begun) * 1000


KIND = Http
