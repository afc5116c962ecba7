"""Whose fault it is that decoding takes long: the image's, the machine's, or the child's."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from effnet.deploy.server import decoder
from effnet.deploy.server.decoder_pool import Decoded, DecoderPool
from effnet.deploy.server.request_error import RequestError
from effnet.deploy.server.settings import ServerSettings
from effnet.preprocessing import Preprocess
from tests.deploy.server.running import jpeg


def with_pool(test: Callable[[DecoderPool], Coroutine[Any, Any, None]], seconds: float, count: int = 1) -> None:
    async def run() -> None:
        pool = DecoderPool(ServerSettings(decoders=count), seconds=seconds)
        await pool.start()
        try:
            await asyncio.wait_for(test(pool), 60)
        finally:
            await pool.close()

    asyncio.run(run())


def decoding(pool: DecoderPool, body: bytes, *, heavy: bool = False, within: float = 50) -> asyncio.Task[Decoded]:
    until = asyncio.get_running_loop().time() + within
    return asyncio.create_task(pool.decode(body, Preprocess(size=32), content_type=None, deadline=until, heavy=heavy))


def child() -> int:
    tasks = Path("/proc/self/task").glob("*/children")
    (pid,) = {int(pid) for task in tasks for pid in task.read_text().split() if is_decoder(pid)}
    return pid


def is_decoder(pid: str) -> bool:
    return b"effnet.deploy.server.decoder" in Path(f"/proc/{pid}/cmdline").read_bytes()


def large() -> bytes:
    """Return an image of a few kilobytes that takes more than half a second to decode."""
    out = io.BytesIO()
    Image.new("RGB", (8000, 8000)).save(out, "PNG")
    return out.getvalue()


def test_a_machine_that_is_busy_with_others_is_not_the_fault_of_the_image() -> None:
    async def test(pool: DecoderPool) -> None:
        os.kill(child(), signal.SIGSTOP)  # what a process sees that does not get the processor
        answer = decoding(pool, jpeg())
        await asyncio.sleep(0.6)
        os.kill(child(), signal.SIGCONT)
        assert (await answer).pixels.shape == (32, 32, 3)
        assert pool.restarts == 0

    with_pool(test, 0.3)


def test_an_image_that_takes_much_processor_time_is_refused() -> None:
    async def test(pool: DecoderPool) -> None:
        with pytest.raises(RequestError, match="too long") as caught:
            await decoding(pool, large())
        assert caught.value.status == 422
        assert pool.restarts == 1
        assert (await decoding(pool, jpeg())).pixels.shape == (32, 32, 3)

    with_pool(test, 0.1)


def test_a_child_that_does_nothing_is_replaced_and_the_image_is_not_blamed() -> None:
    async def test(pool: DecoderPool) -> None:
        stuck = child()
        os.kill(stuck, signal.SIGSTOP)
        with pytest.raises(RequestError) as caught:
            await decoding(pool, jpeg())
        assert caught.value.status == 504
        assert (await decoding(pool, jpeg())).pixels.shape == (32, 32, 3)
        assert child() != stuck
        assert pool.restarts == 1

    with_pool(test, 0.2)


@pytest.mark.parametrize("count", [1, 2])
def test_heavy_images_leave_a_child_to_the_others(count: int) -> None:
    async def test(pool: DecoderPool) -> None:
        first = decoding(pool, large(), heavy=True)  # where there is one child, another one is started for the next
        await first
        if count == 1:
            while pool.alive < 2:
                await asyncio.sleep(0.05)
        heavy = [decoding(pool, large(), heavy=True) for _ in range(3)]
        await asyncio.sleep(0.05)
        for _ in range(3):
            assert (await decoding(pool, jpeg())).pixels.shape == (32, 32, 3)
        assert sum(task.done() for task in heavy) < 3
        assert [(await task).pixels.shape for task in heavy] == [(32, 32, 3)] * 3
        assert pool.restarts == 0

    with_pool(test, 30, count)


@pytest.mark.parametrize(("heavy", "status"), [(True, 422), (False, 504)])
def test_a_large_image_that_is_late_is_told_to_be_smaller(heavy: bool, status: int) -> None:
    async def test(pool: DecoderPool) -> None:
        stopped = child()
        os.kill(stopped, signal.SIGSTOP)  # no processor time is used: it is known by its head only
        with pytest.raises(RequestError) as caught:
            await decoding(pool, jpeg(), heavy=heavy, within=1.0)
        assert caught.value.status == status
        os.kill(stopped, signal.SIGCONT)

    with_pool(test, 1.0, 1)


def test_a_client_that_waits_shortly_is_not_told_that_its_image_is_large() -> None:
    async def test(pool: DecoderPool) -> None:
        with pytest.raises(RequestError) as caught:
            await decoding(pool, large(), heavy=True, within=0.02)
        assert caught.value.status == 504

    with_pool(test, 30)


def test_a_child_whose_clocks_disagree_is_not_killed() -> None:
    # The limit of processor time is counted by another clock than process_time, which may be far behind.
    code = """
import sys, time
time.process_time = lambda: 0.0
until = time.thread_time() + 2.2
while time.thread_time() < until:
    pass
from effnet.deploy.server import decoder
decoder.main(int(sys.argv[1]), 1 << 30, 0.5)
"""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", code, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
        theirs.close()
        ours.settimeout(30)
        try:
            assert decoder.REPLY.unpack(ours.recv(decoder.REPLY.size, socket.MSG_WAITALL)) == (decoder.READY, 0)
            limits = {"max_bytes": 1 << 24, "max_pixels": 1 << 24}
            options = json.dumps({"content_type": None, "preprocess": None, **limits}).encode()
            body = jpeg(size=(3000, 3000))  # long enough for the system to look at the limit
            ours.sendall(decoder.REQUEST.pack(len(options), len(body)) + options + body)
            status, _size = decoder.REPLY.unpack(ours.recv(decoder.REPLY.size, socket.MSG_WAITALL))
            assert status == decoder.PIXELS
        finally:
            process.kill()
            process.wait()
