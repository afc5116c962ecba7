"""What the processor does with 8-bit products, which decides how many bits weights may have.

Without dot-product instructions x86 multiplies unsigned by signed bytes and adds neighbouring pairs in 16 bits, where
255 * 127 * 2 overflows and is cut off in silence. Weights of 7 bits cannot overflow: 255 * 64 * 2 = 32,640 < 32,768.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_DOT_PRODUCTS = {"avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX-VNNI", "amx_int8": "AMX"}
"""Flags of x86 processors that add products of bytes in 32 bits."""

_ARM = ("aarch64", "arm64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The processor that the graph is for.

    Attributes:
        name: as it calls itself.
        wide: what lets it add products of bytes without overflow; None when nothing does, or nothing is known.
        known: whether the system told.
        asked: whether weights shall have 7 bits, where somebody said so; it overrules the rest.
    """

    name: str
    wide: str | None
    known: bool = True
    asked: bool | None = None

    @property
    def reduce_range(self) -> bool:
        """Whether weights must have 7 bits."""
        return self.wide is None if self.asked is None else self.asked

    def describe(self) -> str:
        """Return one sentence for people."""
        if self.asked is not None:
            return f"weights have {7 if self.asked else 8} bits, as asked for"
        if not self.known:
            return f"{self.name} does not say whether it has dot products of bytes, so weights have 7 bits to be safe"
        if self.wide is None:
            return f"{self.name} has no dot product of bytes, so weights have 7 bits (reduce_range): 8 would overflow"
        return f"{self.name} adds products of bytes in 32 bits ({self.wide}), so weights have 8 bits"

    @classmethod
    def of(cls, machine: str, cpuinfo: str) -> Self:
        """Read what Linux says of a processor.

        Args:
            machine: its architecture, as `platform.machine` names it.
            cpuinfo: content of /proc/cpuinfo, or nothing.
        """
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
        name = found[1].strip() if found else machine or "this processor"
        if machine.lower() in _ARM:
            return cls(name=name, wide="NEON, in pairs of 32 bits")
        flags = re.search(r"^flags\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
        known = set(flags[1].split()) if flags else set()
        wide = next((text for flag, text in _DOT_PRODUCTS.items() if flag in known), None)
        return cls(name=name, wide=wide, known=flags is not None)


def this_processor() -> Processor:
    """Return this machine's; where the system does not tell, one that needs the reduced range, which is always safe."""
    path = Path("/proc/cpuinfo")
    return Processor.of(platform.machine(), path.read_text(errors="replace") if path.exists() else "")
