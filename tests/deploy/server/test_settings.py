"""What a server may be told, and what it refuses to be."""

from __future__ import annotations

from typing import Any

import pytest

from effnet.deploy.server.settings import MIN_TOKEN, ServerSettings, is_loopback
from effnet.errors import InputError

TOKEN = "x" * MIN_TOKEN


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.com", "localhost.example.com", ""])
def test_other_machines_need_a_token(host: str) -> None:
    with pytest.raises(InputError, match=r"without a token.*Fix: "):
        ServerSettings(host=host)
    assert ServerSettings(host=host, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    assert is_loopback(host)
    ServerSettings(host=host)


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "x" * 15 + " ", "é" * 20, "x" * 20 + "\n"])
def test_weak_tokens_are_refused(token: str) -> None:
    with pytest.raises(InputError, match="token"):
        ServerSettings(token=token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 65536},
        {"port": -1},
        {"max_batch": 0},
        {"queue": True},
        {"decoders": 0},
        {"client_rate": 0.0},
        {"client_burst": 0},
        {"client_inside": 0},
        {"proxies": ("proxy.example",)},
        {"deadline": 0.0},
        {"deadline": float("nan")},
        {"body_seconds": "1"},
        {"max_bytes": 0},
        {"decoder_memory": 1},
        {"access_log": "xml"},
        {"connections": 1.5},
    ],
)
def test_impossible_values_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InputError) as caught:
        ServerSettings(**wrong)
    assert caught.value.where == name
    assert caught.value.fix
