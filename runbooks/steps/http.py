"""`http`: one request below the target's base_url; TLS verified, no redirects to elsewhere."""

import json
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
    try:
        with (
            httpx.Client(timeout=min(context.seconds_left, 60.0), follow_redirects=False, trust_env=False) as client,
            client.stream(
                with_.method, url, params=query, json=body, headers={"User-Agent": "Supportdesk"}
            ) as response,
        ):
            content = b""
            for piece in response.iter_bytes(8192):
                content += piece
                if len(content) > MOST_BODY or context.stopped.is_set():
                    break
    except httpx.HTTPError as error:
        return Result(StepState.FAILED, f"{url} did not answer: {error or type(error).__name__}"[:500])
    if context.stopped.is_set():
        return Result(StepState.CANCELLED, "Stopped.")
    took = response.elapsed.total_seconds() * 1000 if response.is_closed else 0
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


def _value(text: Any, params: dict[str, Any]) -> Any:
    """`{name}` alone stands for a parameter's value; everything else is itself."""
    if isinstance(text, str) and text.startswith("{") and text.endswith("}"):
        return params.get(text[1:-1], text)
    return text
