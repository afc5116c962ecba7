"""From what a person calls their data to a `Dataset`."""

from __future__ import annotations

from pathlib import Path

from effnet.data.source import Dataset
from effnet.data.sources import builtin
from effnet.data.sources.archive import is_archive, open_archive
from effnet.data.sources.folder import open_folder
from effnet.data.sources.hub import open_hub
from effnet.data.sources.shards import is_shards, open_shards
from effnet.data.sources.subset import with_validation
from effnet.data.sources.table import is_table, open_table
from effnet.errors import InputError, UnknownNameError, nearest


def open_dataset(data: str | Path | Dataset, *, seed: int = 0, val_share: float | None = 0.1) -> Dataset:
    """Return the images of `data`, with a part to judge by.

    Args:
        data: a folder of class folders (with train, val and test folders or without); a `.csv`, `.tsv` or `.parquet` of
            paths and labels; a `.zip` or `.tar(.gz)` of class folders; shards as `train-{000000..000009}.tar`, with
            `https://` in front or not; `digits`; `cifar10:PATH`; `hf:owner/name`; or a Dataset.
        seed: of the split, where there is no validation part.
        val_share: share of each class that is kept for judging then; None: there is no validation part then.

    Raises:
        EffnetError: nothing of that name, unreadable, or not laid out as any of these.
    """
    dataset = data if isinstance(data, Dataset) else _opened(str(data))
    return dataset if val_share is None else with_validation(dataset, seed=seed, share=val_share)


def _opened(text: str) -> Dataset:
    name, _, rest = text.partition(":")
    if name == "hf":
        return open_hub(rest)
    path = Path(text)
    if is_shards(text):
        return open_shards(text)
    if path.is_dir():
        return open_folder(path)
    if path.is_file():
        if is_table(path):
            return open_table(path)
        if is_archive(path):
            return open_archive(path)
        fix = "give a folder, .csv, .tsv, .parquet, .zip, .tar or .tar.gz"
        raise InputError("not a kind of data this reads", where=text, fix=fix)
    if text == "digits":
        return builtin.digits()
    if name == "cifar10":
        return builtin.cifar10(rest)
    near = nearest(text, builtin.BUILTINS)
    if near:
        raise UnknownNameError(f"no data called {text!r}", fix=f"did you mean {near[0]}?")
    fix = "give a folder of class folders, a table, an archive, shards, or digits"
    raise InputError("no such file or folder", where=text, fix=fix)
