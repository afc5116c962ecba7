"""What a client is told when it gets no answer: a status, what is wrong, how to fix it; never a path or a trace."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from effnet.errors import EffnetError


class RequestError(EffnetError):
    """A request that ends in an error status.

    Args:
        status: of HTTP, 400 to 599.
        what, fix: as in every `EffnetError`; both are shown to the client.
        headers: more header fields of the response.
    """

    def __init__(
        self, status: int, what: str, *, fix: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(what, fix=fix)
        self.status = status
        self.headers = headers or {}

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the status."""
        return (_rebuilt, (self.status, self.what, self.fix, self.headers))

    def to_dict(self) -> dict[str, Any]:
        """Return the body of the response: `error` with status, title, what and fix."""
        title = HTTPStatus(self.status).phrase
        return {"error": {"status": self.status, "title": title, "what": self.what, "fix": self.fix}}


def overloaded(wait: float) -> RequestError:
    """Return the refusal of a request that could not be answered in time; `wait` seconds until it may be."""
    retry = max(1, math.ceil(wait))
    return RequestError(503, "the server is busy", fix="try again later", headers={"Retry-After": str(retry)})


def too_many(wait: float) -> RequestError:
    """Return the refusal of a client that asks for more than its share; `wait` seconds until it may ask again."""
    fix = "ask less often, or for fewer images at once"
    retry = max(1, math.ceil(wait))
    return RequestError(429, "too many requests of this client", fix=fix, headers={"Retry-After": str(retry)})


def stopping() -> RequestError:
    """Return the refusal of a server that is going away."""
    return RequestError(503, "the server is stopping", fix="try again", headers={"Retry-After": "1"})


def too_late() -> RequestError:
    """Return what a request gets whose deadline has passed."""
    return RequestError(504, "no answer within the deadline", fix="try again later, or allow more time")


def too_heavy() -> RequestError:
    """Return what a request gets whose image takes too much time to decode, on an idle machine as well."""
    return RequestError(422, "decoding takes too long", fix="give a smaller or simpler image")


def cut() -> RequestError:
    """Return the refusal of a request whose body ends too early."""
    return RequestError(400, "the body is incomplete", fix="send all of it")


def _rebuilt(status: int, what: str, fix: str | None, headers: dict[str, str]) -> RequestError:
    return RequestError(status, what, fix=fix, headers=headers)
