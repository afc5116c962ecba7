"""What a client gets from a real server process: every status, and the headers that protect a browser."""

from __future__ import annotations

import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.deploy.server.running import Running, jpeg, running

TOKEN = "a-token-of-24-characters"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running("--set", "max_bytes=100000", "--set", "decoders=2") as one:
        yield one


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    with running("--set", f"token='{TOKEN}'", "--set", "decoders=1", "--set", "access_log='json'") as one:
        yield one


def problem(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert error["status"] == response.status_code
    assert set(error) == {"status", "title", "what", "fix"}
    assert "/" not in error["what"].replace("image/", "").replace("text/", "").replace("application/", "")
    assert "Traceback" not in response.text
    return str(error["what"])


def encoded(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "blue").save(out, kind)
    return out.getvalue()


def test_an_image_gives_its_classes(server: Running) -> None:
    response = server.predict(jpeg("green"))
    assert response.status_code == 200
    answer = response.json()
    assert answer["model"] == "tiny"
    assert answer["predictions"][0]["label"] == "green"
    assert len(answer["predictions"]) == 3
    assert sum(score["probability"] for score in answer["predictions"]) == pytest.approx(1)
    assert answer["timing_ms"]["batch"] == 1
    assert answer["timing_ms"]["decode"] > 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_format_is_read_whatever_it_is_called(server: Running, kind: str) -> None:
    for content_type in (f"image/{kind.lower()}", "application/octet-stream", "image/jpeg; charset=x"):
        response = server.predict(encoded(kind), content_type)
        assert response.status_code == 200, response.text
        assert response.json()["predictions"][0]["label"] == "blue"


def test_the_content_type_may_be_missing(server: Running) -> None:
    request = httpx.Request("POST", f"{server.url}/predict", content=jpeg())
    assert "content-type" not in request.headers
    assert httpx.Client().send(request).status_code == 200


def test_forms_are_read(server: Running) -> None:
    files = {"image": ("photo.jpg", jpeg("red"), "image/jpeg")}
    response = server.client.post(f"{server.url}/predict", files=files, data={"note": "x"}, params={"top": 1})
    assert response.status_code == 200
    assert [score["label"] for score in response.json()["predictions"]] == ["red"]


@pytest.mark.parametrize(
    ("body", "kind", "what"),
    [
        (b"", "image/jpeg", "empty"),
        (b"x", "multipart/form-data", "boundary"),
        (b"x", "multipart/form-data; boundary=b", "damaged"),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n',
            "multipart/form-data; boundary=b",
            "0 files",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nx\r\n' * 2 + b"--b--\r\n",
            "multipart/form-data; boundary=b",
            "2 files",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nx',
            "multipart/form-data; boundary=b",
            "early",
        ),
        (
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 20 + b"--b--\r\n",
            "multipart/form-data; boundary=b",
            "16 parts",
        ),
    ],
)
def test_bad_requests_are_400(server: Running, body: bytes, kind: str, what: str) -> None:
    response = server.predict(body, kind)
    assert response.status_code == 400
    assert what in problem(response)


@pytest.mark.parametrize(
    "query", ["top=0", "top=1001", "top=x", "top=", "top=1&top=2", "top=-1", "top=%D9%A1", "deadline_ms=0"]
)
def test_wrong_parameters_are_400(server: Running, query: str) -> None:
    response = server.client.post(
        f"{server.url}/predict?{query}", content=jpeg(), headers={"Content-Type": "image/jpeg"}
    )
    assert response.status_code == 400
    assert query.partition("=")[0] in problem(response)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "image/svg+xml", "video/mp4", ";;"]
)
def test_other_content_types_are_415(server: Running, kind: str) -> None:
    response = server.predict(jpeg(), kind)
    assert response.status_code == 415
    assert "image/jpeg" in response.json()["error"]["fix"]


def test_compressed_bodies_are_415(server: Running) -> None:
    assert server.predict(zlib.compress(jpeg()), headers={"Content-Encoding": "deflate"}).status_code == 415


def png_of(width: int, height: int) -> bytes:
    """Return the head of a PNG that says it is so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("body", [b"no image", jpeg()[:400], png_of(60000, 60000), png_of(100, 100), b"\0" * 1000])
def test_what_cannot_be_decoded_is_422(server: Running, body: bytes) -> None:
    response = server.predict(body)
    assert response.status_code == 422
    assert problem(response)


def test_declared_and_chunked_bodies_over_the_limit_are_413(server: Running) -> None:
    assert server.predict(b"x" * 100_001).status_code == 413
    chunked = httpx.Client(trust_env=False, verify=False).post(
        f"{server.url}/predict", content=iter([b"x" * 60_000] * 2), headers={"Content-Type": "image/jpeg"}
    )
    assert chunked.status_code == 413
    assert "100000" in problem(chunked)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n"
    assert server.raw(head).split()[1] in (b"400", b"413")


def test_unknown_paths_are_404_and_other_methods_405(server: Running) -> None:
    for path in (
        "/nope",
        "/predict/",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/page.js/../app.py",
        "//predict",
    ):
        assert server.get(path).status_code == 404
        assert b"root:" not in server.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    response = server.get("/predict")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert server.client.post(f"{server.url}/healthz").status_code == 405


def test_explain_exists_only_where_a_model_file_was_given(server: Running) -> None:
    assert server.client.post(f"{server.url}/explain", content=jpeg()).status_code == 404
    assert server.get("/about").json()["explains"] is False


def test_health_readiness_and_metrics(server: Running) -> None:
    assert server.get("/healthz").json() == {"healthy": True}
    assert server.get("/readyz").json() == {"ready": True, "model": "tiny"}
    before = server.metric('effnet_requests_total{route="/predict",status="200"}')
    assert server.predict(jpeg()).status_code == 200
    assert server.metric('effnet_requests_total{route="/predict",status="200"}') == before + 1
    assert server.metric("effnet_decoders") == 2
    assert server.metric("effnet_inside") == 0
    assert server.metric("effnet_body_bytes") == 0
    for stage in ("body", "decode", "queue", "inference"):
        assert server.metric(f'effnet_stage_seconds_count{{stage="{stage}"}}') >= 1
    assert server.metric("effnet_batch_size_count") >= 1


def test_a_faked_host_is_refused_without_a_token(server: Running) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "[::1].evil.example", "localhost@evil.example", ""):
        assert server.get("/readyz", headers={"Host": host}).status_code in (400, 421)
    for host in ("localhost", "127.0.0.1:1", "[::1]:80", "LOCALHOST"):
        assert server.get("/readyz", headers={"Host": host}).status_code == 200


def test_the_page_loads_nothing_from_elsewhere_and_allows_nothing_else(server: Running) -> None:
    page = server.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    for place in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert "//" not in place
        assert server.get(f"/{place}").status_code == 200
    assert "style=" not in page.text
    assert not re.search(r"\son\w+=", page.text)


def test_wrong_tokens_are_401(guarded: Running) -> None:
    for header in (None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer " + "é" * 24):
        headers = [] if header is None else [("Authorization", header.encode("latin-1"))]
        response = httpx.Client(trust_env=False, verify=False).post(
            f"{guarded.url}/predict", content=jpeg(), headers=[("Content-Type", b"image/jpeg"), *headers]
        )
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        problem(response)
    assert guarded.get("/metrics").status_code == 401


def test_the_right_token_opens(guarded: Running) -> None:
    headers = {"Authorization": f"bearer {TOKEN}"}
    assert guarded.predict(jpeg(), headers=headers).status_code == 200
    assert guarded.get("/metrics", headers=headers).status_code == 200
    assert guarded.get("/healthz").status_code == guarded.get("/").status_code == 200
    assert guarded.get("/about").json()["token"] is True
    assert guarded.get("/readyz", headers={"Host": "photos.example"}).status_code == 200


def test_the_log_is_json_and_holds_no_token(guarded: Running) -> None:
    guarded.predict(jpeg(), headers={"Authorization": f"Bearer {TOKEN}"}, params={"top": 1})
    line = json.loads(guarded.wait_for('"inference"'))
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("POST", "/predict", 200)
    assert line["bytes"] == len(jpeg())
    assert line["ms"] > 0
    assert not any(TOKEN in text for text in guarded.lines)


def test_decoders_do_not_know_the_token() -> None:
    with running("--set", "decoders=1", EFFNET_TOKEN=TOKEN) as server:
        for pid in server.children():
            assert TOKEN.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
