"""From what a person calls their data to a `Dataset`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from effnet.data.source import Dataset, Remark
from effnet.data.sources import builtin
from effnet.data.sources.archive import is_archive, open_archive
from effnet.data.sources.columns import NoColumnError
from effnet.data.sources.folder import open_folder
from effnet.data.sources.hub import open_hub
from effnet.data.sources.shards import holds_samples, is_shards, open_shards
from effnet.data.sources.subset import with_validation
from effnet.data.sources.table import join_tables, open_table, split_options
from effnet.data.sources.tablefile import is_table, tables_in
from effnet.errors import EffnetError, InputError, UnknownNameError, nearest

_LARGEST_LOOKED_INTO = 64 << 20
"""Bytes of a table beside class folders."""


def open_dataset(data: str | Path | Dataset, *, seed: int = 0, val_share: float | None = 0.1) -> Dataset:
    """Return the images of `data`, with a part to judge by.

    Args:
        data: a folder of class folders (with train, val and test folders or without), or one with a metadata.csv or
            Parquet files; a `.csv`, `.tsv`, `.jsonl` or `.parquet` of paths and labels, perhaps with what is what, as
            in `train.csv:image=id,label=breed,images=photos,fold=2`; a `.zip` or `.tar(.gz)` of class folders; shards
            as `train-{000000..000009}.tar`, with `https://` in front or not; `digits`; `cifar10:PATH`;
            `hf:owner/name`; or a Dataset.
        seed: of the split, where there is no validation part.
        val_share: share of each class that is kept for judging then; None: there is no validation part then.

    Raises:
        EffnetError: nothing of that name, unreadable, or not laid out as any of these.
    """
    dataset = data if isinstance(data, Dataset) else opened(str(data))
    return dataset if val_share is None else with_validation(dataset, seed=seed, share=val_share)


def opened(text: str, *, judging: bool = False) -> Dataset:
    """Return the images of `text` in the parts that it names; arguments and errors as `open_dataset`.

    Args:
        judging: nobody learns from it, so it may be of one class, or without a part to train on, which is empty then.
    """
    name, _, rest = text.partition(":")
    if name == "hf" and rest:
        return open_hub(rest, judging=judging)
    path, options = split_options(text)
    if is_shards(text):
        return open_shards(text, judging=judging)
    if path.is_dir():
        return _folder(path, options, judging)
    if path.is_file():
        if is_table(path):
            return open_table(path, options, judging=judging)
        if path.suffix.lower() == ".tar" and holds_samples(path):
            return open_shards(text, judging=judging)
        if is_archive(path):
            return open_archive(path, judging=judging)
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


def _folder(path: Path, options: dict[str, str], judging: bool) -> Dataset:
    """Return the images of a folder: of class folders, or of what the tables that belong to it list."""
    tables = tables_in(path)
    unused: tuple[Remark, ...] = ()
    if tables:
        try:
            return join_tables(tables, str(path), options, judging=judging)
        except NoColumnError as error:
            if options:
                raise
            unlabelled = error
            fix = "nothing, if the folders are the classes"
            unused = (Remark("note", "table_unused", f"{tables[0].path.name} is not used: {error.what}", fix),)
    try:
        dataset = open_folder(path, judging=judging)
    except InputError as error:
        if unused:
            raise unlabelled from None
        lists = [entry.name for entry in sorted(path.iterdir()) if is_table(entry)]
        if not lists:
            raise
        fix = f"{error.fix}; or give a table that lists the images, such as {path / lists[0]}"
        raise InputError(error.what, where=error.where, fix=fix) from None
    return dataclasses.replace(dataset, remarks=(*dataset.remarks, *unused, *_listed_otherwise(path, dataset)))


def _listed_otherwise(path: Path, dataset: Dataset) -> tuple[Remark, ...]:
    """Return a warning where a table beside the folders lists their images with classes that no folder is called."""
    for file in sorted(entry for entry in path.iterdir() if entry.is_file() and is_table(entry)):
        if file.stem.lower() == "metadata" or file.stat().st_size > _LARGEST_LOOKED_INTO:
            continue
        try:
            listed = open_table(file, judging=True)
        except EffnetError:
            continue  # it is about something else
        if not set(listed.train.classes) & set(dataset.train.classes):
            shown = ", ".join(dataset.train.classes[:3])
            what = f"{file.name} lists images with other classes than the folders ({shown}) are"
            return (Remark("warning", "table_beside", what, f"give {file} if its labels are meant"),)
    return ()
