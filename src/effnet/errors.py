"""The errors a person can meet: every failure that bad input can cause is one of these.

Each carries what went wrong, where (a file, a name, a field) and how to fix it, and prints as one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EffnetError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        what: what is wrong, in a clause ("unknown model").
        where: the file, name or field that is wrong.
        fix: what to do about it, in the imperative.
    """

    exit_code = 1
    """The exit status of the command line: 1 for a failure, 2 for a wrong request."""

    def __init__(self, what: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        """One line: where, what, fix."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{text}. Fix: {self.fix}" if self.fix else text
        return " ".join(line.split())

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all three parts, so that a worker process can raise it in its parent."""
        return (_rebuild, (type(self), self.what, self.where, self.fix))


class SpecError(EffnetError):
    """A network, scaling coefficient or file that describes one is impossible."""

    exit_code = 2


class UnknownNameError(EffnetError):
    """A name (model, weights, layout, verb) that nothing answers to."""

    exit_code = 2

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], *, see: str | None = None) -> UnknownNameError:
        """Build the error for `name` with the nearest of the `known` names as the fix."""
        near = nearest(name, known)
        hint = f"did you mean {', '.join(near)}?" if near else "use one of the known names"
        if see:
            hint = f"{hint} ({see})"
        return cls(f"unknown {kind} {name!r}", fix=hint)


class InputError(EffnetError):
    """A path, option or value given by the caller that cannot be used."""

    exit_code = 2


class BudgetError(EffnetError):
    """No network fits the limits that were asked for."""


class WeightsError(EffnetError):
    """A weights file is damaged, unsafe, or does not belong to the network."""


class DownloadError(EffnetError):
    """Weights could not be fetched, or what came back is not what was published."""


class ImageError(EffnetError):
    """A file is not an image that can be decoded safely."""


class ParityError(EffnetError):
    """What was exported does not compute what the network computes, or does less work for it."""


class MissingDependencyError(EffnetError):
    """An optional package is needed for what was asked."""

    @classmethod
    def for_extra(cls, package: str, extra: str, purpose: str) -> MissingDependencyError:
        """Build the error that names the extra to install."""
        return cls(f"{purpose} needs the package {package}", fix=f"pip install 'effnet[{extra}]'")


def nearest(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return the known names most like `name`, best first, ignoring case; empty when none is close."""
    folded = {n.casefold(): n for n in known}
    return [folded[n] for n in difflib.get_close_matches(name.casefold(), folded, n=limit, cutoff=0.5)]


def _rebuild(kind: type[EffnetError], what: str, where: str | None, fix: str | None) -> EffnetError:
    return kind(what, where=where, fix=fix)
