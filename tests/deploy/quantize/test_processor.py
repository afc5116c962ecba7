from __future__ import annotations

import dataclasses

import pytest

from effnet.deploy.quantize.processor import Processor, this_processor


def cpuinfo(flags: str) -> str:
    return f"processor\t: 0\nmodel name\t: A Processor\nflags\t\t: fpu sse2 {flags}\nbugs\t\t:\n"


@pytest.mark.parametrize(
    ("machine", "flags", "reduced"),
    [
        ("x86_64", "avx2 fma", True),
        ("x86_64", "avx2 avx512f avx512bw avx512vl", True),
        ("x86_64", "avx2 avx512_vnni", False),
        ("x86_64", "avx2 avx_vnni", False),
        ("AMD64", "", True),
        ("riscv64", "", True),
    ],
)
def test_weights_have_7_bits_where_products_would_overflow(machine: str, flags: str, reduced: bool) -> None:
    processor = Processor.of(machine, cpuinfo(flags))
    assert processor.reduce_range is reduced
    assert processor.name == "A Processor"
    assert ("7 bits" if reduced else "8 bits") in processor.describe()


def test_arm_does_not_overflow_and_an_unknown_system_is_taken_to() -> None:
    assert not Processor.of("aarch64", "").reduce_range
    assert not Processor.of("arm64", "").reduce_range
    assert Processor.of("AMD64", "").reduce_range  # Windows: no cpuinfo
    assert this_processor().describe()


def test_what_was_asked_for_overrules_the_processor_and_nothing_false_is_said_of_it() -> None:
    able = Processor.of("x86_64", cpuinfo("avx512_vnni"))
    asked = dataclasses.replace(able, asked=True)
    assert asked.reduce_range and not able.reduce_range
    assert asked.describe() == "weights have 7 bits, as asked for"
    assert not dataclasses.replace(Processor.of("x86_64", cpuinfo("avx2")), asked=False).reduce_range
    assert "does not say" in Processor.of("AMD64", "").describe()
    assert "does not say" not in Processor.of("x86_64", cpuinfo("avx2")).describe()
