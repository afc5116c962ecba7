"""The description of the interface is true: requests made from it, right and wrong, get what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from effnet.deploy.server.app import SECURITY_HEADERS
from tests.deploy.server.running import Running, jpeg, running

PATHS = ("/predict", "/about", "/healthz", "/readyz", "/metrics", "/openapi.json")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--set", "decoders=1", "--set", "queue=8") as one:
        yield one


@pytest.fixture(scope="module")
def described(server: Running) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


def test_every_route_is_described(described: Any) -> None:
    assert set(described.raw_schema["paths"]) == set(PATHS)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_described_is_what_happens(described: Any, path: str, mode: GenerationMode) -> None:
    operation = described[path]["POST" if path == "/predict" else "GET"]
    if mode is GenerationMode.NEGATIVE and path != "/predict":
        pytest.skip("it takes nothing that could be wrong")
    statuses = set()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=100 if path == "/predict" else 10, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        response = case.call()
        statuses.add(response.status_code)
        assert response.status_code != 500
        # A random text is a valid body by the description and still no image: 422 is then the right answer; and so is
        # 504 for an answer that is wanted within a millisecond.
        checks = [schemathesis.checks.positive_data_acceptance, schemathesis.checks.not_a_server_error]
        case.validate_response(response, excluded_checks=checks)
        assert set(SECURITY_HEADERS) <= {name.title() for name in response.headers}

    check()
    assert statuses


def test_the_answer_is_the_described_one(server: Running, described: Any) -> None:
    case = described["/predict"]["POST"].Case(body=jpeg(), media_type="image/jpeg", query={"top": 2})
    response = case.call_and_validate()
    assert response.status_code == 200
