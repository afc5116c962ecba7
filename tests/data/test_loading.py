from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from effnet.data.augment import Augmentation
from effnet.data.crops import RandomCrop
from effnet.data.decode import decode
from effnet.data.loading import Loader, WorkerError, normalise
from effnet.data.policies import RandAugment
from effnet.data.preprocess import to_batch, to_pixels
from effnet.data.request import Request
from effnet.errors import ImageError
from effnet.preprocessing import Preprocess
from tests.tiny_data import Colours

PREPROCESS = Preprocess(size=16)
AUGMENTATION = Augmentation(crop=RandomCrop(area=(0.3, 1.0)), policy=RandAugment(layers=2))


def requests(count: int = 6, batch: int = 5, source: int = 20) -> list[Request]:
    return [
        Request(
            epoch=number // 4,
            indices=tuple((number * batch + place) % source for place in range(batch)),
            image_size=16 + 8 * (number % 2),
            magnitude=float(number),
        )
        for number in range(count)
    ]


def loaded(source: Colours, workers: int = 0, seed: int = 3, **options) -> list[torch.Tensor]:
    loader = Loader(source, PREPROCESS, augmentation=AUGMENTATION, seed=seed, workers=workers, **options)
    try:
        return [batch.images for batch in loader.batches(requests(source=len(source)))]
    finally:
        loader.close()


class Photographs(Colours):
    """JPEGs large enough to be decoded smaller, some of them lying on their side."""

    def __init__(self, folder: Path) -> None:
        super().__init__(6)
        self.folder = folder
        rng = np.random.default_rng(0)
        for index in range(6):
            noise = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
            image = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
            exif = Image.Exif()
            exif[0x0112] = 6 if index % 2 else 1
            image.save(folder / f"{index}.jpg", quality=95, exif=exif)

    def read(self, index: int) -> Path:
        return self.folder / f"{index}.jpg"


def test_pixels_do_not_depend_on_the_workers():
    source = Colours(20)
    alone = loaded(source)
    for workers in (1, 3):
        for ours, theirs in zip(alone, loaded(source, workers), strict=True):
            assert torch.equal(ours, theirs)
    assert [tuple(images.shape) for images in alone[:2]] == [(5, 16, 16, 3), (5, 24, 24, 3)]
    assert not any(torch.equal(ours, theirs) for ours, theirs in zip(alone, loaded(source, seed=4), strict=True))


def test_a_batch_is_what_its_parts_make(tmp_path):
    source = Photographs(tmp_path)
    request = Request(epoch=2, indices=(0, 1, 2, 3), image_size=32, magnitude=4)
    loader = Loader(source, PREPROCESS, augmentation=Augmentation(flip=0.5), seed=5)
    (batch,) = loader.batches([request])
    from effnet.data.randomness import generator

    for place, index in enumerate(request.indices):
        whole = decode(source.read(index))
        assert whole.size == ((480, 640) if index % 2 else (640, 480))
        drawn = Augmentation(flip=0.5).draw(generator(5, 2, index), *whole.size, 32)
        expected = np.asarray(Augmentation(flip=0.5).apply(whole, drawn)).astype(float)
        # Decoding at a reduced size is close to, not equal to, a whole decode.
        assert abs(batch.images[place].numpy() - expected).mean() < 3
    assert batch.labels.tolist() == source.labels[:4].tolist()
    assert batch.indices == request.indices


def test_judged_images_are_those_of_prediction(tmp_path):
    source = Photographs(tmp_path)
    loader = Loader(source, PREPROCESS, augmentation=None, seed=0)
    (batch,) = loader.batches([Request(epoch=0, indices=(4, 1), image_size=16)])
    for place, index in enumerate((4, 1)):
        image = decode(source.read(index), min_size=PREPROCESS.resize_to)
        assert np.array_equal(batch.images[place].numpy(), to_pixels(image, PREPROCESS))
    expected = to_batch(list(batch.images.numpy()), PREPROCESS)
    assert torch.equal(normalise(batch.images, PREPROCESS), expected)
    assert normalise(batch.images, PREPROCESS).is_contiguous(memory_format=torch.channels_last)


class Deadly(Colours):
    """Kills the process that reads one of its images, as long as there is no note that it has done so often enough."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(20)
        self.folder, self.times = folder, times

    def read(self, index: int) -> bytes:
        killed = len(list(self.folder.iterdir()))
        if index == 13 and killed < self.times:
            (self.folder / str(killed)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_nothing_is_lost(tmp_path):
    expected = loaded(Colours(20))
    handler = signal.getsignal(signal.SIGCHLD)
    for ours, theirs in zip(loaded(Deadly(tmp_path, 2), workers=2), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert len(list(tmp_path.iterdir())) == 2
    assert signal.getsignal(signal.SIGCHLD) is handler  # torch's would interrupt any line of the training


@pytest.mark.slow
def test_workers_that_always_die_end_the_run(tmp_path):
    with pytest.raises(WorkerError, match="workers"):
        loaded(Deadly(tmp_path, 100), workers=1)


class Broken(Colours):
    def __init__(self, broken: set[int], count: int = 20) -> None:
        super().__init__(count)
        self.broken = broken

    def read(self, index: int) -> bytes:
        return super().read(index)[: 60 if index in self.broken else None]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_fails_by_name(workers):
    with pytest.raises(ImageError, match=r"007\.png"):
        loaded(Broken({7}), workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_or_another_takes_its_place_always_the_same(workers):
    source = Broken({7, 8})
    loader = Loader(source, PREPROCESS, augmentation=AUGMENTATION, seed=3, workers=workers, unreadable="skip")
    batches = list(loader.batches(requests()))
    assert all(len(batch.images) == 5 for batch in batches)
    assert set(loader.skipped) == {source.name(7), source.name(8)}
    replaced = batches[1].indices  # asked for 5 to 9
    assert replaced[:2] + replaced[4:] == (5, 6, 9) and not {7, 8} & set(replaced)
    assert batches[1].labels.tolist() == source.labels[list(replaced)].tolist()
    again = Loader(source, PREPROCESS, augmentation=AUGMENTATION, seed=3, unreadable="skip")
    assert [batch.indices for batch in again.batches(requests())] == [batch.indices for batch in batches]


def test_judging_leaves_unreadable_images_out():
    loader = Loader(Broken({7}), PREPROCESS, augmentation=None, seed=0, unreadable="skip")
    (batch,) = loader.batches([Request(epoch=0, indices=(6, 7, 8), image_size=16)])
    assert batch.indices == (6, 8) and len(batch.images) == len(batch.labels) == 2


def test_too_many_unreadable_images_are_an_error():
    loader = Loader(
        Broken(set(range(9))), PREPROCESS, augmentation=AUGMENTATION, seed=0, unreadable="skip", most_skipped=4
    )
    with pytest.raises(ImageError, match="effnet data check"):
        list(loader.batches(requests()))


def test_abandoning_and_starting_again_is_fine():
    source = Colours(20)
    for workers in (0, 2):
        loader = Loader(source, PREPROCESS, augmentation=AUGMENTATION, seed=3, workers=workers)
        first = next(loader.batches(requests()))
        second = next(loader.batches(requests()))
        assert torch.equal(first.images, second.images)
        loader.close()
        assert torch.equal(next(loader.batches(requests())).images, first.images)
