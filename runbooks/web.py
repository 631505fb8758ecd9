"""HTTP to a target: which addresses may be asked, and that just those are."""

import asyncio
import ipaddress
import socket
import ssl
from typing import Any

import httpx


class PrivateAddress(ValueError):
    """A name that points inside, where the connection does not say that it may."""


def addresses_of(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses of a name, in the system's order of preference.

    Raises PrivateAddress when one of them is loopback, private, link-local or reserved, unless `private` allows it;
    OSError when the name has none.
    """
    found = [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not private and any(not ipaddress.ip_address(address.partition("%")[0]).is_global for address in found):
        raise PrivateAddress(
            f"{host} is a private or loopback address; an administrator allows that with private: true on the connection"
        )
    return list(dict.fromkeys(found))


class PinnedTransport(httpx.AsyncHTTPTransport):
    """Connects to the very addresses that were checked: a name that changes in between leads nowhere else.

    TLS still asks for, and verifies, the name.
    """

    def __init__(self, connection: dict[str, Any]) -> None:
        authorities = connection.get("ca_file")
        verify = ssl.create_default_context(cafile=authorities) if authorities else True
        super().__init__(verify=verify, trust_env=False)
        self._private = bool(connection.get("private"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it to the first address that answers. Raises PrivateAddress, OSError and httpx.TransportError."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await asyncio.to_thread(addresses_of, url.host, port, private=self._private)
        for address in addresses:
            pinned = httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": url.host},
            )
            try:
                return await super().handle_async_request(pinned)
            except httpx.ConnectError:
                if address == addresses[-1]:
                    raise
        raise OSError(f"{url.host} has no address")


def client(connection: dict[str, Any], *, timeout: float) -> httpx.AsyncClient:
    """A client for a target's `http` connection; `timeout` in seconds. It follows no redirect by itself."""
    return httpx.AsyncClient(timeout=timeout, follow_redirects=False, transport=PinnedTransport(connection))
