"""`http`: one request below the target's base_url; TLS verified, no redirects to elsewhere."""

import asyncio
import json
import time
from typing import Any

import httpx

from runbooks.models import StepState
from runbooks.steps import Context, Result

MOST_BODY = 64 * 1024


def run(context: Context) -> Result:
    """Send the request; success is a status that the step expects."""
    with_ = context.with_
    url = context.connections["http"]["base_url"].rstrip("/") + with_.path
    query = {name: _value(text, context.params) for name, text in with_.query.items()}
    body = (
        {name: _value(v, context.params) for name, v in with_.json_body.items()}
        if with_.json_body is not None
        else None
    )
    context.output.say(f"$ {with_.method} {url}")
    request = httpx.Request(with_.method, url, params=query, json=body, headers={"User-Agent": "Supportdesk"})
    try:
        answer = asyncio.run(_fetch(request, context))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Result(StepState.FAILED, f"{url} did not answer: {error or type(error).__name__}"[:500])
    if answer is None:
        if context.stopped.is_set():
            return Result(StepState.CANCELLED, "Stopped.")
        return Result(StepState.FAILED, f"{url} took longer than the step's timeout.")
    response, content, took = answer
    context.output.feed("out", f"HTTP {response.status_code} in {took:.0f} ms\n".encode() + content[:MOST_BODY] + b"\n")
    context.output.finish_step()
    data: dict[str, Any] = {"status": response.status_code, "milliseconds": round(took)}
    if "json" in response.headers.get("content-type", "") and len(content) <= MOST_BODY:
        try:
            data["json"] = json.loads(content)
        except ValueError:
            data["json"] = None
    if response.status_code not in with_.status:
        return Result(
            StepState.FAILED,
            f"HTTP {response.status_code}, expected {' or '.join(map(str, with_.status))}.",
            data,
        )
    return Result(StepState.SUCCEEDED, f"HTTP {response.status_code} in {took:.0f} ms", data)


async def _fetch(request: httpx.Request, context: Context) -> tuple[httpx.Response, bytes, float] | None:
    """Send and read some of the answer; None as soon as the run is stopped or the step's time is over."""
    task = asyncio.ensure_future(_send(request))
    while not task.done():
        await asyncio.wait({task}, timeout=0.1)
        if not task.done() and (context.stopped.is_set() or context.seconds_left <= 0):
            task.cancel()
            await asyncio.wait({task})
            return None
    return task.result()


async def _send(request: httpx.Request) -> tuple[httpx.Response, bytes, float]:
    begun, content = time.monotonic(), b""
    async with httpx.AsyncClient(timeout=60.0, follow_redirects=False, trust_env=False) as client:
        response = await client.send(request, stream=True)
        try:
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > MOST_BODY:
                    break
        finally:
            await response.aclose()
    return response, content, (time.monotonic() - begun) * 1000


def _value(text: Any, params: dict[str, Any]) -> Any:
    """`{name}` alone stands for a parameter's value; everything else is itself."""
    if isinstance(text, str) and text.startswith("{") and text.endswith("}"):
        return params.get(text[1:-1], text)
    return text
