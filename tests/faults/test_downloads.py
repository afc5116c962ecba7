"""A download survives every fault of the network and the server: the right file arrives, or none does."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effnet.errors import DownloadError, EffnetError
from effnet.weights.digest import Expected, WrongFileError
from effnet.weights.download import download
from tests.faults.faulty_server import BODY, SHA256, Fault, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights.pth"


def get(server: Server, target: Path, expected: Expected | None = None, **options: object) -> str:
    settings = {"timeout": 5.0, "retries": 3, "pause": 0.01, **options}
    return download(server.url(), target, expected=expected or Expected(sha256=SHA256), **settings)  # type: ignore[arg-type]


def interrupted(server: Server, target: Path, fault: Fault) -> Path:
    """A download that was broken off by `fault`, and what it left."""
    server.plan = [fault, Fault(status=404)]
    with pytest.raises(DownloadError):
        get(server, target)
    server.log.clear()
    return target.with_name(target.name + ".part")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def arrived(target: Path) -> None:
    assert target.read_bytes() == BODY
    assert names(target.parent) == [target.name], "something was left behind"


# --- the network and the server ---------------------------------------------------------------------------------


def test_a_file_arrives_with_progress(server: Server, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    assert get(server, target, progress=lambda done, total: seen.append((done, total))) == SHA256
    arrived(target)
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_cut_connection_is_resumed_not_restarted(server: Server, target: Path) -> None:
    server.plan = [Fault(cut_after=300_000), Fault(cut_after=200_000, reset=True)]
    get(server, target)
    arrived(target)
    assert len(server.log) == 3
    assert server.ranges[0] is None
    first, second = (int(re.fullmatch(r"bytes=(\d+)-", r or "").group(1)) for r in server.ranges[1:])  # type: ignore[union-attr]
    assert first == 300_000
    assert 300_000 < second <= 500_000  # a reset may lose what was under way


def test_many_cuts_are_borne_as_long_as_there_is_progress(server: Server, target: Path) -> None:
    server.plan = [Fault(cut_after=60_000) for _ in range(15)]
    get(server, target, retries=1)
    arrived(target)
    assert len(server.log) == 16


def test_a_server_without_ranges_is_read_from_the_start(server: Server, target: Path) -> None:
    server.always = Fault(ranges=False)
    server.plan = [Fault(cut_after=300_000)]
    get(server, target)
    arrived(target)
    assert [status for *_, status in server.log] == [200, 200]


def test_a_server_without_ranges_that_always_cuts_is_given_up(server: Server, target: Path) -> None:
    server.always = Fault(ranges=False, cut_after=300_000)
    with pytest.raises(DownloadError, match="connection closed after"):
        get(server, target)
    assert len(server.log) == 1 + 1 + 3
    assert not target.exists()


def test_without_etag_or_date_nothing_is_resumed(server: Server, target: Path) -> None:
    server.etag = None
    server.plan = [Fault(cut_after=300_000)]
    get(server, target)
    arrived(target)
    assert server.ranges == [None, None]


def test_a_date_is_enough_to_resume_and_a_weak_etag_is_not(server: Server, target: Path) -> None:
    server.etag, server.date = 'W/"weak"', "Mon, 23 Nov 2026 10:00:00 GMT"
    server.plan = [Fault(cut_after=300_000)]
    get(server, target)
    arrived(target)
    assert [status for *_, status in server.log] == [200, 206]


def test_a_file_that_changed_between_attempts_is_not_patched_together(server: Server, target: Path) -> None:
    part = interrupted(server, target, Fault(cut_after=300_000, body=b"x" * len(BODY)))
    assert part.stat().st_size == 300_000
    server.etag, server.body = '"v2"', BODY[:200_000]
    get(server, target, Expected(sha256=hashlib.sha256(server.body).hexdigest()))
    assert target.read_bytes() == server.body
    assert [status for *_, status in server.log] == [200]


def test_a_file_that_shrank_is_started_again(server: Server, target: Path) -> None:
    interrupted(server, target, Fault(cut_after=900_000, body=BODY + BODY))
    server.body = BODY[:500_000]
    get(server, target, Expected(sha256=hashlib.sha256(server.body).hexdigest()))
    assert target.read_bytes() == server.body
    assert [status for *_, status in server.log] == [416, 200]


def test_a_wrong_range_is_never_glued_in(server: Server, target: Path) -> None:
    server.plan = [Fault(cut_after=300_000), Fault(shift=7)]
    get(server, target)
    arrived(target)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_passing_failure_is_tried_again(server: Server, target: Path, status: int) -> None:
    server.plan = [Fault(status=status), Fault(status=status)]
    get(server, target)
    arrived(target)
    assert len(server.log) == 3


def test_the_server_may_ask_for_a_pause(server: Server, target: Path) -> None:
    server.plan = [Fault(status=503, headers={"Retry-After": "1"})]
    start = time.monotonic()
    get(server, target)
    assert time.monotonic() - start >= 1
    arrived(target)


def test_patience_ends(server: Server, target: Path) -> None:
    server.always = Fault(status=503)
    with pytest.raises(DownloadError, match="answered 503") as caught:
        get(server, target, retries=2)
    assert len(server.log) == 3
    assert "run it again" in str(caught.value)
    assert names(target.parent) == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451, 501])
def test_a_final_answer_is_not_tried_again(server: Server, target: Path, status: int) -> None:
    server.always = Fault(status=status)
    with pytest.raises(DownloadError, match=f"answered {status}") as caught:
        get(server, target)
    assert len(server.log) == 1
    assert server.url() in str(caught.value)
    assert names(target.parent) == []


def test_a_silent_server_is_left_and_resumed(server: Server, target: Path) -> None:
    server.plan = [Fault(stall_after=300_000)]
    get(server, target, timeout=0.3)
    arrived(target)
    assert server.ranges == [None, "bytes=300000-"]


def test_a_server_that_never_answers(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(DownloadError, match="silent"):
            download(url, target, expected=Expected(), timeout=0.1, retries=1, pause=0.01)


def test_a_closed_port_is_a_typed_error(server: Server, target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    with pytest.raises(DownloadError, match="download failed"):
        download(url, target, expected=Expected(), retries=1, pause=0.01)


def test_an_unknown_host_is_not_tried_again(target: Path) -> None:
    start = time.monotonic()
    with pytest.raises(DownloadError, match="host was not found"):
        download("https://effnet.invalid/x", target, expected=Expected(), pause=100)
    assert time.monotonic() - start < 60


def test_a_body_without_length_arrives(server: Server, target: Path) -> None:
    server.always = Fault(length=-1)
    get(server, target)
    arrived(target)


def test_more_bytes_than_announced_are_refused(server: Server, target: Path) -> None:
    server.plan = [Fault(cut_after=300_000), Fault(total=400_000)]
    with pytest.raises(DownloadError, match="more bytes than announced"):
        get(server, target)
    assert names(target.parent) == []


# --- what arrives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "named"),
    [
        (Expected(sha256="0" * 64), (SHA256, "0" * 64)),
        (Expected(sha256="deadbeef"), (SHA256, "deadbeef")),
        (Expected(md5="0" * 32), (hashlib.md5(BODY).hexdigest(), "0" * 32)),
        (Expected(size=5), (str(len(BODY)), "5")),
    ],
)
def test_wrong_bytes_are_removed_and_both_digests_named(
    server: Server, target: Path, expected: Expected, named: tuple[str, str]
) -> None:
    with pytest.raises(WrongFileError) as caught:
        get(server, target, expected)
    assert all(text in str(caught.value) for text in named)
    assert names(target.parent) == []
    assert len(server.log) == 1, "a whole fresh file with wrong bytes is not worth a second try"


@pytest.mark.parametrize("expected", [Expected(sha256=SHA256[:8]), Expected(md5=hashlib.md5(BODY).hexdigest())])
def test_prefix_and_md5_prove_a_file(server: Server, target: Path, expected: Expected) -> None:
    get(server, target, expected)
    arrived(target)


def test_damaged_remains_are_fetched_again_from_the_start(server: Server, target: Path) -> None:
    part = interrupted(server, target, Fault(cut_after=300_000))
    part.write_bytes(bytes(part.stat().st_size))  # what a loss of power can make of it
    get(server, target)
    arrived(target)
    assert server.ranges == ["bytes=300000-", None]


@pytest.mark.parametrize("notes", ["", "{", "[]", "null", '{"validator": null, "total": 3}', '{"total": 3}'])
def test_unreadable_notes_mean_from_the_start(server: Server, target: Path, notes: str) -> None:
    (target.parent / "weights.pth.part").write_bytes(b"junk")
    (target.parent / "weights.pth.part.json").write_text(notes)
    get(server, target)
    arrived(target)
    assert server.ranges == [None]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cuts=st.lists(st.integers(0, len(BODY)), max_size=6),
    kinds=st.lists(st.sampled_from(["cut", "reset", "503", "noranges", "shift"]), min_size=6, max_size=6),
)
def test_any_sequence_of_faults_ends_in_the_right_file(
    server: Server, tmp_path: Path, cuts: list[int], kinds: list[str]
) -> None:
    target = tmp_path / "any.pth"
    server.log.clear()
    server.plan = [
        Fault(
            status=503 if kind == "503" else None,
            cut_after=cut,
            reset=kind == "reset",
            ranges=kind != "noranges",
            shift=int(kind == "shift"),
        )
        for cut, kind in zip(cuts, kinds, strict=False)
    ]
    get(server, target, retries=20, pause=0.0)
    assert target.read_bytes() == BODY
    target.unlink()
    assert not list(tmp_path.glob("any*"))


# --- where it may come from -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "https://",
        "https://user:secret@example.com/x",
        "http://127.0.0.1.example.com/x",
        "https://[broken",
        "https://example.com:port/x",
    ],
)
def test_only_secure_addresses_are_asked(target: Path, url: str) -> None:
    with pytest.raises(DownloadError) as caught:
        download(url, target, expected=Expected())
    assert "https://" in str(caught.value) or "password" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_redirect_is_followed_and_keeps_the_range(server: Server, target: Path) -> None:
    server.plan = [
        Fault(status=302, headers={"Location": server.url("/elsewhere")}),
        Fault(cut_after=300_000),
        Fault(status=302, headers={"Location": server.url("/elsewhere?signature=2")}),
    ]
    get(server, target)
    arrived(target)
    assert server.ranges == [None, None, "bytes=300000-", "bytes=300000-"]


@pytest.mark.parametrize("to", ["http://example.com/x", "file:///etc/passwd", "ftp://example.com/x", "gopher://x/"])
def test_a_redirect_to_an_insecure_address_is_refused(server: Server, target: Path, to: str) -> None:
    server.always = Fault(status=302, headers={"Location": to})
    with pytest.raises(DownloadError, match=r"not a secure address|answered 302"):
        get(server, target)
    assert len(server.log) == 1
    assert names(target.parent) == []


def test_a_redirect_loop_ends(server: Server, target: Path) -> None:
    server.always = Fault(status=302, headers={"Location": server.url()})
    with pytest.raises(DownloadError, match="302"):
        get(server, target)
    assert len(server.log) < 20


@pytest.fixture
def secure(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same server behind TLS, with a certificate made for the occasion; returns its address."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *name]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return f"https://localhost:{server.server_port}/weights.pth"


def test_https_works_and_never_falls_back_to_http(server: Server, secure: str, tmp_path: Path) -> None:
    target = tmp_path / "folder" / "weights.pth"
    target.parent.mkdir()
    download(secure, target, expected=Expected(sha256=SHA256))
    arrived(target)
    server.always = Fault(status=302, headers={"Location": "http://127.0.0.1:1/x"})
    with pytest.raises(DownloadError, match="insecure"):
        download(secure, target, expected=Expected(sha256=SHA256), retries=0)


def test_an_untrusted_certificate_is_final(
    server: Server, secure: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(DownloadError, match="certificate is not trusted"):
        download(secure, target, expected=Expected(sha256=SHA256), pause=100)
    assert server.log == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=302),
        Fault(status=302, headers={"Location": ""}),
        Fault(status=302, headers={"Location": "https://[broken"}),
        Fault(status=206, shift=5),
        Fault(status=204),
        Fault(length=1 << 50),
        Fault(status=304),
        Fault(status=599, headers={"Retry-After": "soon"}),
        Fault(headers={"Content-Length": "many"}, length=-1, cut_after=10),
    ],
)
def test_strange_answers_are_typed_errors(server: Server, target: Path, fault: Fault) -> None:
    server.always = fault
    with pytest.raises(EffnetError) as caught:
        get(server, target, retries=1)
    assert "\n" not in str(caught.value)
    assert names(target.parent) == []


def test_a_server_that_does_not_speak_http(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):
                with listener.accept()[0] as connection:
                    connection.recv(4096)
                    connection.sendall(b"\x1b[31mSSH-2.0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(DownloadError) as caught:
            download(url, target, expected=Expected(), retries=1, pause=0.01)
    assert "\x1b" not in str(caught.value), "the words of a stranger do not reach the terminal"
