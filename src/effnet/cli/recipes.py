"""`effnet recipes`: how networks are trained, as tables to read and files to start from."""

from __future__ import annotations

import typer


def recipes(
    name: str | None = typer.Argument(None, help="A recipe to show; without it, all are listed."),
    json: bool = typer.Option(False, "--json", help="Print every setting as JSON, which --recipe reads."),
) -> None:
    """List the training recipes, or show one."""
    from effnet.cli.arguments import as_json
    from effnet.training import catalog

    if name is None:
        if json:
            typer.echo(as_json({known: catalog.find(known).to_dict() for known in catalog.names()}))
            return
        width = max(map(len, catalog.names()))
        for known in catalog.names():
            typer.echo(f"{known:<{width}}  {catalog.header(known).partition(chr(10))[0]}")
        return
    recipe = catalog.find(name)
    typer.echo(as_json(recipe.to_dict()) if json else f"{catalog.header(name)}\n\n{recipe}")
