"""The command line: one module a verb. Each parses, calls one public function and prints."""

from effnet.cli.app import main

__all__ = ["main"]
