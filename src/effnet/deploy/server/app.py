"""The HTTP door: routes, statuses and headers; what they do is in `service`."""

from __future__ import annotations

import functools
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from effnet.deploy.server.access_log import Log
from effnet.deploy.server.body import check_length, drain, read_body
from effnet.deploy.server.clients import client_address, client_name
from effnet.deploy.server.doorkeeper import Doorkeeper
from effnet.deploy.server.explaining import Explainer
from effnet.deploy.server.metrics import CONTENT_TYPE
from effnet.deploy.server.openapi import IMAGE_TYPES, document, most_classes
from effnet.deploy.server.request_error import RequestError, too_many
from effnet.deploy.server.service import Answer, Service

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]
Routes: TypeAlias = dict[str, tuple[str, Handler]]
"""By path, the method that it takes and what answers."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/words.js": ("words.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_encode = json.JSONEncoder(ensure_ascii=False).encode

_ROUTES = frozenset({*_PAGE, "/predict", "/explain", "/about", "/healthz", "/readyz", "/metrics", "/openapi.json"})


def application(service: Service, log: Log, explainer: Explainer | None = None) -> ASGIApp:
    """Return the ASGI application of a service.

    Args:
        service: started.
        log: gets a line a request.
        explainer: makes the heat maps of /explain; None: the route does not exist.
    """
    door = _Door(service, explainer)
    routes: Routes = {
        "/predict": ("POST", door.predict),
        "/about": ("GET", door.about),
        "/healthz": ("GET", door.health),
        "/readyz": ("GET", door.readiness),
        "/metrics": ("GET", door.metrics),
        "/openapi.json": ("GET", door.openapi),
        **{path: ("GET", _page(path)) for path in _PAGE},
    }
    if explainer is not None:
        routes["/explain"] = ("POST", door.explain)
    return _Application(routes, service, log)


class _Door:
    """The handlers."""

    def __init__(self, service: Service, explainer: Explainer | None) -> None:
        self._service = service
        self._explainer = explainer
        self._token = service.settings.token

    async def predict(self, request: Request) -> Response:
        begun = not self._service.stopping
        client = self._enter(request)
        try:
            self._authorise(request)
            answer = await self._answer(request, begun=begun)
        finally:
            self._service.clients.leave(client)
        return _json(answer_to_dict(answer))

    async def _answer(self, request: Request, *, begun: bool) -> Answer:
        top = _whole(request, "top", 5, 1, most_classes(self._service.model.classes))
        most = int(1000 * self._service.deadline)
        deadline = _whole(request, "deadline_ms", most, 1, most) / 1000
        form, body = await self._body(request)
        try:
            answer = await self._service.predict(body, content_type=form, top=top, deadline=deadline, begun=begun)
        finally:
            self._service.budget.give(len(body))
        request.scope["state"]["answer"] = answer
        return answer

    async def explain(self, request: Request) -> Response:
        client = self._enter(request)
        try:
            self._authorise(request)
            picture = await self._picture(request)
        finally:
            self._service.clients.leave(client)
        return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})

    async def _picture(self, request: Request) -> bytes:
        assert self._explainer is not None
        chosen = None
        if "class" in request.query_params:
            chosen = _whole(request, "class", 0, 0, self._service.model.classes - 1)
        form, body = await self._body(request)
        try:
            return await self._explainer.picture(self._service, body, content_type=form, chosen=chosen)
        finally:
            self._service.budget.give(len(body))

    async def about(self, request: Request) -> Response:
        model = self._service.model
        return _json(
            {
                "model": model.name,
                "classes": model.classes,
                "size": model.preprocess.size,
                "explains": self._explainer is not None,
                "token": self._token is not None,
                "max_bytes": self._service.settings.max_bytes,
            }
        )

    async def health(self, request: Request) -> Response:
        healthy = self._service.healthy
        return _json({"healthy": healthy}, 200 if healthy else 503)

    async def readiness(self, request: Request) -> Response:
        ready = self._service.ready
        return _json({"ready": ready, "model": self._service.model.name}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        self._authorise(request)
        return Response(self._service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        return _json(document(self._service, explains=self._explainer is not None))

    def _enter(self, request: Request) -> str:
        """Take a place of the client's and return its name, to `leave` with.

        Wrong tokens are counted too, so that they cannot be tried without end.
        """
        client = client_name(request.scope["state"]["client"])
        wait = self._service.clients.enter(client, time.monotonic())
        if wait is not None:
            self._service.metrics.refused.labels("client").inc()
            raise too_many(wait)
        return client

    def _authorise(self, request: Request) -> None:
        if self._token is None:
            return
        given = request.headers.get("authorization", "")
        scheme, _, token = given.partition(" ")
        matches = hmac.compare_digest(token.strip().encode(errors="replace"), self._token.encode())
        if scheme.lower() != "bearer" or not matches:
            fix = "send the header Authorization: Bearer TOKEN"
            raise RequestError(401, "the token is missing or wrong", fix=fix, headers={"WWW-Authenticate": "Bearer"})

    async def _body(self, request: Request) -> tuple[str | None, bytes]:
        """Return the content type of a form, or None, and the body's bytes."""
        settings = self._service.settings
        form = _form_type(request)
        check_length(request.headers.get("content-length"), settings.max_bytes)
        began = time.perf_counter()
        body = await read_body(request.receive, settings, self._service.budget)
        request.scope["state"]["read"] = len(body)
        self._service.metrics.stages["body"].observe(time.perf_counter() - began)
        if not body:
            raise RequestError(400, "the body is empty", fix="send the image as the body")
        return form, body


class _Application:
    """Routes, the Host of a page that fakes one, the last resort for bugs, headers, counting and the log.

    Routing is a look into a table: that every path is a constant makes a router, and what it costs, unnecessary.
    """

    def __init__(self, routes: Routes, service: Service, log: Log) -> None:
        self._routes = routes
        self._service = service
        self._log = log
        settings = service.settings
        self._doorkeeper = Doorkeeper(settings)
        self._proxies = settings.proxy_networks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        exchange = _Exchange(receive, send, self._service)
        scope.setdefault("state", {})["client"] = self._client(scope)
        try:
            try:
                response = await self._handler(scope)(Request(scope, exchange.receive))
            except RequestError as error:
                response = _problem(error)
            await response(scope, exchange.receive, exchange.send)
        except Exception as error:  # a bug
            self._log.event("error", kind=type(error).__name__, message=str(error)[:500])
            if not exchange.status:
                await _bug()(scope, exchange.receive, exchange.send)
        self._note(scope, exchange.status, time.perf_counter() - began)

    def _handler(self, scope: Scope) -> Handler:
        self._doorkeeper.check(scope)
        route = self._routes.get(scope["path"])
        if route is None:
            raise RequestError(404, "no such page", fix="see /openapi.json")
        methods = ("GET", "HEAD") if route[0] == "GET" else (route[0],)
        if scope["method"] not in methods:
            what = "this page does not take the method"
            raise RequestError(405, what, fix="see /openapi.json", headers={"Allow": ", ".join(methods)})
        return route[1]

    def _client(self, scope: Scope) -> str:
        peer = scope.get("client")
        forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer[0] if peer else None, forwarded, self._proxies)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"]
        route = path if path in _ROUTES else "other"
        self._service.metrics.request(route, status, seconds)
        if not self._log.of_requests:
            return
        answer: Answer | None = scope["state"].get("answer")
        self._log.request(
            method=scope["method"],
            path=path[:200],
            status=status,
            ms=round(1000 * seconds, 2),
            bytes=scope["state"].get("read"),
            client=scope["state"]["client"],
            **({} if answer is None else _timings(answer)),
        )


class _Exchange:
    """One request and its response: notes the status, adds headers, and reads on before it refuses."""

    def __init__(self, receive: Receive, send: Send, service: Service) -> None:
        self.status = 0
        self._receive = receive
        self._send = send
        self._service = service
        self._unread = True

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *_HEADERS]
            if self._unread and self.status >= 400:
                await drain(self.receive)
            if self._service.stopping or (self._unread and self.status >= 400):
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)


def answer_to_dict(answer: Answer) -> dict[str, Any]:
    """Return what /predict sends."""
    scores = [{"index": s.index, "label": s.label, "probability": s.probability} for s in answer.scores]
    return {"model": answer.model, "predictions": scores, "timing_ms": _timings(answer)}


def _timings(answer: Answer) -> dict[str, float]:
    return {
        "decode": round(1000 * answer.decoded.decoding, 2),
        "queue": round(1000 * (answer.decoded.waited + answer.timed.queued), 2),
        "inference": round(1000 * answer.timed.running, 2),
        "batch": answer.timed.batch,
    }


def _form_type(request: Request) -> str | None:
    """Return the whole content type of a multipart form, None for an image; raises RequestError 415 for the rest."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RequestError(415, "the body is compressed", fix="send the image as it is, without Content-Encoding")
    given = request.headers.get("content-type")
    if given is None:
        return None  # what it is shows in its bytes
    kind = given.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return given
    if kind in IMAGE_TYPES:
        return None
    known = ", ".join(IMAGE_TYPES)
    raise RequestError(415, f"{kind[:80]!r} is no image", fix=f"send one of {known}, or multipart/form-data")


def _whole(request: Request, name: str, default: int, low: int, high: int) -> int:
    values = request.query_params.getlist(name) if request.scope["query_string"] else []
    if not values:
        return min(default, high)
    text = values[0]
    good = len(values) == 1 and text.isascii() and text.isdigit() and len(text) <= 9
    if not good or not low <= int(text) <= high:
        raise RequestError(400, f"{name} is not a whole number from {low} to {high}", fix="change or omit it")
    return int(text)


def _json(content: Any, status: int = 200) -> Response:
    return Response(_encode(content), status, {"Cache-Control": "no-store"}, media_type="application/json")


def _problem(error: RequestError) -> Response:
    response = _json(error.to_dict(), error.status)
    response.headers.update(error.headers)
    return response


def _bug() -> Response:
    return _problem(RequestError(500, "something went wrong in the server", fix="tell its operator"))


@functools.cache
def _file(name: str) -> bytes:
    return (resources.files("effnet.deploy.server") / "page" / name).read_bytes()


def _page(path: str) -> Handler:
    name, kind = _PAGE[path]

    async def handler(_request: Request) -> Response:
        return Response(_file(name), headers={"Content-Type": kind, "Cache-Control": "no-cache"})

    return handler
