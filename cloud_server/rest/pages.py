"""Pages about the routes: OpenAPI as JSON, and as a page that has no script and loads nothing."""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;"
    "padding:.5rem;border:1px solid #8884}summary{cursor:pointer}b{display:inline-block;width:4rem}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_SAFE = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class SafeHeaders:
    """Lets no browser take an answer for anything that runs, loads or is framed. A layer of ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the layers within, and add the headers."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SAFE]
            await send(message)

        await self._app(scope, receive, sent)


def add_pages(app: FastAPI) -> None:
    """Serve /docs."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse("".join(_page(app.openapi())))


def _page(document: dict[str, Any]) -> Iterator[str]:
    """Yield the page of an OpenAPI document."""
    about = document["info"]
    title = escape(f"{about['title']} {about['version']}")
    yield (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    )
    yield f"<h1>{title}</h1><p>{escape(about.get('description', ''))}</p>"
    yield "<p>The same for programs: <a href=openapi.json>openapi.json</a></p>"
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            yield from _route(path, method, route)


def _route(path: str, method: str, route: dict[str, Any]) -> Iterator[str]:
    yield (
        f"<details><summary><b>{escape(method.upper())}</b><code>{escape(path)}</code> "
        f"{escape(route.get('summary', ''))}</summary>"
    )
    for part in ("parameters", "requestBody", "responses"):
        if part in route:
            text = escape(json.dumps(route[part], indent=1))
            yield f"<h4>{part}</h4><pre>{text}</pre>"
    yield "</details>"
