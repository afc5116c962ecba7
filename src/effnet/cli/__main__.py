"""`python -m effnet.cli` is the `effnet` command."""

from effnet.cli.app import main

main()
