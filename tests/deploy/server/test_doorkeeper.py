"""Which pages and names may reach a server: what a browser says of where a request comes from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.types import Scope

from effnet.deploy.server.doorkeeper import Doorkeeper
from effnet.deploy.server.request_error import RequestError
from effnet.deploy.server.settings import ServerSettings
from effnet.errors import InputError
from tests.deploy.server.running import Running, jpeg, running

TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--set", "decoders=1") as one:
        yield one


def verdict(
    settings: ServerSettings, *headers: tuple[str, str], path: str = "/about", method: str = "GET", version: str = "1.1"
) -> int:
    fields = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope: Scope = {"type": "http", "path": path, "method": method, "http_version": version, "headers": fields}
    try:
        Doorkeeper(settings).check(scope)
    except RequestError as error:
        return error.status
    return 200


OPEN = ServerSettings()
GUARDED = ServerSettings(token=TOKEN)
PUBLIC = ServerSettings(token=TOKEN, host="0.0.0.0")
NAMED = ServerSettings(token=TOKEN, host="0.0.0.0", names=("photos.example",))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
        {"Origin": "file://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://localhost:1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/predict", "/explain"])
def test_pages_of_other_sites_may_not_ask(server: Running, headers: dict[str, str], path: str) -> None:
    response = server.client.post(f"{server.url}{path}", content=jpeg(), headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]["fix"]


def test_its_own_page_and_programs_may(server: Running) -> None:
    own: list[dict[str, str]] = [
        {},
        {"Origin": server.url},
        {"Origin": server.url, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://photos.example", "Sec-Fetch-Site": "same-origin"},  # a proxy has changed the Host
    ]
    for headers in own:
        assert server.predict(jpeg(), headers=headers).status_code == 200


def test_a_link_from_another_site_to_the_page_works(server: Running) -> None:
    assert server.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize(
    ("hosts", "version", "status"),
    [
        ([], b"1.1", b"400"),
        ([b"localhost", b"localhost"], b"1.1", b"400"),
        ([b"localhost", b"evil.example"], b"1.1", b"400"),
        ([b"localhost", b"localhost"], b"1.0", b"400"),
        ([], b"1.0", b"200"),
        ([b"localhost"], b"1.1", b"200"),
    ],
)
def test_a_request_has_one_host(server: Running, hosts: list[bytes], version: bytes, status: bytes) -> None:
    lines = b"".join(b"Host: %s\r\n" % host for host in hosts)
    answer = server.raw(b"GET /healthz HTTP/%s\r\n%sConnection: close\r\n\r\n" % (version, lines))
    assert answer.split()[1] == status


@pytest.mark.parametrize(
    ("settings", "host", "path", "status"),
    [
        (OPEN, "evil.example", "/healthz", 421),
        (OPEN, "127.0.0.1:8000", "/about", 200),
        (GUARDED, "evil.example", "/about", 421),
        (GUARDED, "evil.example", "/", 421),
        (GUARDED, "evil.example", "/predict", 421),
        (GUARDED, "probe.example", "/healthz", 200),
        (GUARDED, "probe.example", "/readyz", 200),
        (GUARDED, "localhost", "/about", 200),
        (PUBLIC, "any.example", "/about", 200),
        (NAMED, "photos.example", "/about", 200),
        (NAMED, "PHOTOS.example:443", "/about", 200),
        (NAMED, "other.example", "/about", 421),
        (NAMED, "photos.example.evil.example", "/about", 421),
        (NAMED, "10.0.0.7", "/readyz", 200),
        (ServerSettings(token=TOKEN, host="10.0.0.5", names=("a.b",)), "10.0.0.5:8000", "/about", 200),
    ],
)
def test_who_knows_the_server_by_another_name(settings: ServerSettings, host: str, path: str, status: int) -> None:
    assert verdict(settings, ("Host", host), path=path) == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("photos.example", "http://photos.example", 200),
        ("photos.example", "https://photos.example", 200),
        ("photos.example:8443", "https://photos.example:8443", 200),
        ("photos.example:8443", "https://photos.example", 403),
        ("[::1]:8000", "http://[::1]:8000", 200),
        ("[::1]", "http://[::1]", 200),
        ("photos.example", "http://photos.example.evil.example", 403),
        ("photos.example", "http://[broken", 403),
        ("photos.example", "http://photos.example:x", 403),
    ],
)
def test_a_page_is_known_by_its_origin(host: str, origin: str, status: int) -> None:
    assert verdict(PUBLIC, ("Host", host), ("Origin", origin), path="/predict", method="POST") == status


@pytest.mark.parametrize("name", ["", "a b", "http://photos.example", "photos.example:80", "é.example"])
def test_a_name_is_a_name(name: str) -> None:
    with pytest.raises(InputError, match="no name"):
        ServerSettings(names=(name,))
