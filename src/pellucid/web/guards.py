"""What every request passes: whose page asks, how much it sends, and how its answer may be used."""

import json
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pellucid.web.limits import size_text

LOCAL = ("localhost", "127.0.0.1", "[::1]")
_READING = ("GET", "HEAD", "OPTIONS")
_SMALL = 64 * 1024
"""The most bytes of a request that uploads no photo."""

_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guards:
    """Refuses foreign hosts and pages, and bounds what is sent; gives every answer its headers.

    A web site that a person visits may have their browser ask this server. By the Host header it cannot pretend that
    this server is its own (DNS rebinding); by Origin and Sec-Fetch-Site it is known where browsers send them.
    ``uploads``: the one address that bounds its body itself.
    """

    def __init__(self, app: ASGIApp, uploads: str) -> None:
        self.app = app
        self.uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        answer = _with_headers(send, scope["path"])
        refusal = _refusal(scope["method"], scope["path"], headers)
        if refusal is not None:
            await _refuse(answer, *refusal)
            return
        bounded = receive if scope["path"] == self.uploads else _bounded(receive)
        await self.app(scope, bounded, answer)


def _refusal(method: str, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
    host = headers.get("host", "")
    if _without_port(host) not in LOCAL:
        return 400, "this server answers to localhost alone; open the address that pellucid serve printed"
    origin = headers.get("origin")
    if method not in _READING and origin is not None and _authority(origin) != host.lower():
        return 403, "a page of another site may not use this server"
    if path.startswith("/api") and headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
        return 403, "a page of another site may not use this server"
    return None


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() else host.lower()


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > _SMALL:
            raise HTTPException(413, f"a question is at most {size_text(_SMALL)} long")
        return message

    return counted


def _with_headers(send: Send, path: str) -> Send:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            known = {name.lower() for name, _ in message["headers"]}
            more = {**_HEADERS, "cache-control": "no-store" if path.startswith("/api") else "no-cache"}
            message["headers"] = [
                *message["headers"],
                *((n.encode(), v.encode()) for n, v in more.items() if n.encode() not in known),
            ]
        await send(message)

    return answer


async def _refuse(send: Send, status: int, line: str) -> None:
    body = json.dumps({"error": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
