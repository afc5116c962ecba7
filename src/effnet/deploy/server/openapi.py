"""The description of the HTTP interface, as OpenAPI; tests compare it with what the server does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from effnet.version import __version__

if TYPE_CHECKING:
    from effnet.deploy.server.service import Service

IMAGE_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/bmp",
    "image/gif",
    "image/tiff",
    "application/octet-stream",
)
"""Content types of a plain image; what it is shows in its bytes, not in these words."""

_REFUSALS = {
    400: "A wrong parameter, no Host or two, an empty or incomplete body, or a form without exactly one file.",
    401: "The token is missing or wrong.",
    403: "The request comes from the page of another site.",
    408: "The body comes too slowly.",
    413: "The body is too large.",
    415: "The content type is no image, or the body is compressed.",
    421: "The Host is not this server.",
    422: "The image cannot be decoded, or not within the limits.",
    429: "This client asks for more than its share; Retry-After says when to try again.",
    500: "A bug.",
    503: "Busy or stopping; Retry-After says when to try again.",
    504: "No answer within the deadline.",
}


def most_classes(classes: int) -> int:
    """Return the largest `top` that may be asked for: clients of a model of few classes need not know how few."""
    return max(classes, 1000)


def document(service: Service, *, explains: bool) -> dict[str, Any]:
    """Return the OpenAPI document of a service."""
    paths: dict[str, Any] = {
        "/predict": {"post": _predict(service)},
        "/about": {"get": _get("about", "What is served.", {200: ("The model.", _ref("About"))})},
        "/healthz": {"get": _get("health", "Whether the process works.", _both("Health"))},
        "/readyz": {"get": _get("readiness", "Whether requests are welcome.", _both("Readiness"))},
        "/metrics": {"get": _metrics(service)},
        "/openapi.json": {"get": _get("openapi", "This document.", {200: ("OpenAPI.", {"type": "object"})})},
    }
    if explains:
        paths["/explain"] = {"post": _explain(service)}
    schemes = {"token": {"type": "http", "scheme": "bearer"}} if service.settings.token is not None else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"effnet serve: {service.model.name}", "version": __version__},
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": schemes},
    }


def _predict(service: Service) -> dict[str, Any]:
    most = int(1000 * service.deadline)
    return {
        "operationId": "predict",
        "summary": "Name the most probable classes of one image.",
        **_security(service),
        "parameters": [
            _parameter("top", "How many classes to name.", 1, most_classes(service.model.classes)),
            _parameter("deadline_ms", "Milliseconds after which no answer is wanted.", 1, most),
        ],
        "requestBody": _image_body(),
        "responses": _responses(
            {200: ("The classes, most probable first.", _ref("Prediction"))},
            (400, 401, 403, 408, 413, 415, 421, 422, 429, 500, 503, 504),
        ),
    }


def _explain(service: Service) -> dict[str, Any]:
    return {
        "operationId": "explain",
        "summary": "Show where in an image the answer was found: a picture with a heat map.",
        **_security(service),
        "parameters": [_parameter("class", "The class; without it, the best one.", 0, service.model.classes - 1)],
        "requestBody": _image_body(),
        "responses": {
            "200": {"description": "The picture.", "content": {"image/png": {"schema": {"type": "string"}}}},
            **_responses({}, (400, 401, 403, 408, 413, 415, 421, 422, 429, 500, 503, 504)),
        },
    }


def _metrics(service: Service) -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "Counters for Prometheus.",
        **_security(service),
        "responses": {
            "200": {"description": "Text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **_responses({}, (400, 401, 421, 500)),
        },
    }


def _get(name: str, summary: str, answers: dict[int, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": _responses(answers, (400, 421, 500))}


def _both(schema: str) -> dict[int, tuple[str, dict[str, Any]]]:
    return {200: ("Yes.", _ref(schema)), 503: ("No.", _ref(schema))}


def _image_body() -> dict[str, Any]:
    binary = {"type": "string", "format": "binary"}
    text = "Exactly one file, under any name; other fields are ignored."
    form = {"type": "object", "properties": {"image": binary}, "description": text}
    content: dict[str, Any] = {kind: {"schema": binary} for kind in IMAGE_TYPES}
    return {"required": True, "content": {**content, "multipart/form-data": {"schema": form}}}


def _parameter(name: str, text: str, low: int, high: int) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return {"name": name, "in": "query", "description": text, "required": False, "schema": schema}


def _security(service: Service) -> dict[str, Any]:
    return {"security": [{"token": []}]} if service.settings.token is not None else {}


def _responses(answers: dict[int, tuple[str, dict[str, Any]]], refusals: tuple[int, ...]) -> dict[str, Any]:
    described = {status: (_REFUSALS[status], _ref("Error")) for status in refusals} | answers
    return {
        str(status): {"description": text, "content": {"application/json": {"schema": schema}}}
        for status, (text, schema) in sorted(described.items())
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _schemas() -> dict[str, Any]:
    text, number, whole, flag = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "Prediction": _object(
            model=text,
            predictions={"type": "array", "minItems": 1, "items": _object(index=whole, label=text, probability=share)},
            timing_ms=_object(decode=number, queue=number, inference=number, batch=whole),
        ),
        "About": _object(model=text, classes=whole, size=whole, explains=flag, token=flag, max_bytes=whole),
        "Health": _object(healthy=flag),
        "Readiness": _object(ready=flag, model=text),
        "Error": _object(
            error=_object(status=whole, title=text, what=text, fix={"type": ["string", "null"]}),
        ),
    }
