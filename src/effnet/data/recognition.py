"""Which files are images, by name and by content: the one answer for training, checking and prediction.

    listing = listed(Path("photos"))
    listing.images      # ('ant/1.jpg', 'ant/2.avif', ...), by their paths below the folder
    listing.left_out    # what looks like an image and is not used, each with the reason

A file is an image that is read when its name ends like one of them; when it ends otherwise, or in nothing, its first
bytes decide. Of what looks like an image and is not read nothing is lost in silence: it is in `left_out`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from effnet.data.source import Remark, counted
from effnet.errors import InputError


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SIGNATURES: dict[str, bytes] = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "BMP": rb"BM",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|II\0[*+]|MM\0[*+]|MM[*+]\0",
    "AVIF": rb"....ftyp(?:avi[fs]|(?:mif1|msf1|miaf)(?:....)*?avi[fs])",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "PPM": rb"P[1-6f][\s#]",
}
"""How a file of each format that `decode` reads begins."""

SUFFIXES = _words(
    ".jpg .jpeg .jpe .jfif .jif .pjpeg .pjp .mpo .png .apng .webp .bmp .dib .gif .tif .tiff .avif .avifs"
    " .jp2 .j2k .j2c .jpc .jpf .jpx .ppm .pgm .pbm .pnm .pfm"
)
"""How their names end."""

HEAD = 160
"""Bytes of a file that its format is told by."""

_RAW = _words(
    ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .3fr .iiq .erf .kdc .mrw .dcr .rwl"
    " .gpr .raw"
)
"""Cameras' own formats. Many are TIFF by their content, of which only a small preview would be read."""

_FOREIGN_SUFFIXES = _RAW + _words(
    ".heic .heif .hif .heics .heifs .jxl .psd .psb .xcf .kra .svg .svgz .ico .icns .cur .tga .dds .exr .hdr .qoi .pcx"
    " .sgi .xbm .xpm .jxr .wdp .hdp .bpg .flif .fits .fts .dcm .dicom .jls .pam .pict .pct .emf .wmf .ras .djvu .svs"
    " .ndpi .mrxs .scn .nii .nrrd .mha .npy .npz"
)

_FOREIGN_SIGNATURES: dict[str, bytes] = {
    "HEIC": rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1|miaf)",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "Photoshop": rb"8BPS\0[\x01\x02]",
    "OpenEXR": rb"v/1\x01",
    "Radiance HDR": rb"#\?R(?:ADIANCE|GBE)",
    "DDS": rb"DDS \x7c\0\0\0",
    "QOI": rb"qoif",
    "FITS": rb"SIMPLE  =",
    "DICOM": rb".{128}DICM",
    "camera raw": rb"FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR|....ftypcrx ",
    "icon": rb"\0\0\x01\0[\x01-\x20]\0.{6,}",
    "NumPy": rb"\x93NUMPY",
    "SVG": rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,80}-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg[\s>]",
    "PAM": rb"P7\n",
    "JPEG XR": rb"II\xbc\x01",
    "BPG": rb"BPG\xfb",
    "FLIF": rb"FLIF",
}
"""Formats that are told from damage and from other files, so that they can be named."""

_SURE = {
    # Two letters begin many a text; a header of a known length after them begins none.
    "BMP": rb"BM.{4}\0{4}.{4}(?:[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0)",
    "PPM": rb"P[4-6]\s(?:#[^\n]*\n|\s)*\d+\s",
}
"""What a file must begin with where its name does not speak for the format."""

_PLACEHOLDERS = ("imagenotfound", "image_not_found", "image-not-found", "placeholder")

_MADE_BY_PROGRAMS = _words(
    "@eadir __macosx .ipynb_checkpoints .thumbnails .thumbs .thumb _thumbs _thumbnails thumbnails .thumbcache"
    " .picasaoriginals picasaoriginals .picasa .@__thumb @__thumb @recently-snapshot @recycle #recycle $recycle.bin"
    " .trash .trashes lost+found .dropbox.cache .appledouble .xvpics _vti_cnf .comments .sync .stversions .previews"
    " _previews"
)
"""Folders in which programs keep their own copies: small ones, older ones, deleted ones. Lower case."""

Why = Literal["foreign", "placeholder", "program", "hidden"]


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file is.

    Attributes:
        kind: `image` that `decode` reads (or reports as damaged); `foreign`: an image of another format; `other`.
        format: as in SIGNATURES where the content was looked at, the foreign format or ending, or empty.
        by_content: whether the name says nothing of an image.
    """

    kind: Literal["image", "foreign", "other"]
    format: str = ""
    by_content: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that looks like an image and is not used.

    Attributes:
        key: its path within the data.
        why: `foreign` format, a download's `placeholder`, in a folder that a `program` made, or `hidden`.
        detail: ending or format, or the folder.
    """

    key: str
    why: Why
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a folder or an archive holds.

    Attributes:
        images: paths within it, sorted.
        left_out: what looks like an image besides, sorted.
        unnamed: those of `images` that are known as such by their content only.
    """

    images: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    unnamed: tuple[str, ...] = ()

    def remarks(self) -> tuple[Remark, ...]:
        """Return what to say of it."""
        return tuple(_remarks(self))

    def of(self, why: Why) -> tuple[LeftOut, ...]:
        """Return what was left out for one reason."""
        return tuple(entry for entry in self.left_out if entry.why == why)


def recognised(name: str, head: Callable[[], bytes]) -> Recognised:
    """Return what a file is.

    Args:
        name: its name, or path.
        head: gives its first bytes, HEAD or more; called only where the name does not end like an image that is read.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES:
        return Recognised("image")
    start = head()
    known = format_of(start, sure=True)
    if suffix in _FOREIGN_SUFFIXES:
        # A photograph that was renamed is read; a camera's raw file only looks like a TIFF.
        if known is not None and known != "TIFF":
            return Recognised("image", known, by_content=True)
        return Recognised("foreign", suffix)
    if known is not None:
        return Recognised("image", known, by_content=True)
    strange = foreign_format(start, sure=True)
    return Recognised("other") if strange is None else Recognised("foreign", strange, by_content=True)


def format_of(head: bytes, *, sure: bool = False) -> str | None:
    """Return the format, of those that `decode` reads, that a file with these first bytes has; None for none.

    Args:
        head: HEAD bytes or more.
        sure: demand more of formats that only two letters begin.
    """
    for name, signature in SIGNATURES.items():
        if re.match(_SURE.get(name, signature) if sure else signature, head[:HEAD], re.DOTALL):
            return name
    return None


def foreign_format(head: bytes, *, sure: bool = False) -> str | None:
    """Return the name of a format that is not read and begins so, or None.

    Args:
        head: HEAD bytes or more.
        sure: leave out those that only two bytes begin.
    """
    for name, signature in _FOREIGN_SIGNATURES.items():
        found = re.match(signature, head[:HEAD], re.DOTALL | re.IGNORECASE if name == "SVG" else re.DOTALL)
        if found and not (sure and found.end() < 3):
            return name
    return None


def way_out(format: str) -> str:
    """Return how to make an image that is read of one of a foreign format or ending."""
    if format.lower().lstrip(".") in ("heic", "heif", "hif", "heics", "heifs"):
        return "convert HEIC to JPEG: heif-convert IN OUT.jpg, sips -s format jpeg (Mac), or magick IN OUT.jpg"
    if format in _RAW or format == "camera raw":
        return "develop raw photographs to JPEG or TIFF first"
    if format.lower().lstrip(".") in ("npy", "npz", "numpy"):
        return "save arrays as PNG or TIFF images of 1 or 3 bands"
    return "convert to JPEG or PNG: magick IN OUT.png"


def is_named_image(path: str) -> bool:
    """Whether a file counts as an image by its name alone: not hidden, no download's placeholder."""
    name = PurePosixPath(path).name.lower()
    return name.endswith(SUFFIXES) and not name.startswith(".") and not _is_placeholder(name)


def listed(root: Path) -> Listing:
    """Return what a folder holds; links are followed, each folder once.

    Raises:
        InputError: a folder cannot be read.
    """
    return sorted_out((key, _head_at(root / key)) for key in _walk(root))


def sorted_out(files: Iterable[tuple[str, Callable[[], bytes]]]) -> Listing:
    """Return which of the files are images.

    Args:
        files: path within the data, and what gives the first bytes.
    """
    images: list[str] = []
    unnamed: list[str] = []
    left_out: list[LeftOut] = []
    for key, head in files:
        *folders, name = PurePosixPath(key).parts or ("",)
        program = next((folder for folder in folders if made_by_program(folder)), None)
        if program is not None:
            if name.lower().endswith(SUFFIXES) or recognised(name, head).kind != "other":
                left_out.append(LeftOut(key, "program", program))
            continue
        if any(part.startswith(".") for part in (*folders, name)):
            # macOS keeps a file's attributes in ._NAME: no image, whatever its name ends in.
            if format_of(head(), sure=True) is not None:
                left_out.append(LeftOut(key, "hidden", name))
            continue
        found = recognised(name, head)
        if found.kind == "foreign":
            left_out.append(LeftOut(key, "foreign", found.format))
        elif found.kind == "image" and _is_placeholder(name.lower()):
            left_out.append(LeftOut(key, "placeholder", name))
        elif found.kind == "image":
            images.append(key)
            if found.by_content:
                unnamed.append(key)
    left_out.sort(key=lambda entry: entry.key)
    return Listing(images=tuple(sorted(images)), left_out=tuple(left_out), unnamed=tuple(sorted(unnamed)))


def made_by_program(folder: str) -> bool:
    """Whether a folder of that name holds a program's own copies, which are never trained on."""
    lowered = folder.lower()
    return lowered in _MADE_BY_PROGRAMS or lowered.startswith(".trash-")


def _is_placeholder(name: str) -> bool:
    return name.partition(".")[0] in _PLACEHOLDERS


def _walk(root: Path) -> Iterator[str]:
    visited: set[tuple[int, int]] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            state = (root / folder).stat()
            if (state.st_dev, state.st_ino) in visited:
                continue  # a link back to a folder above
            visited.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            where = ascii(str(root / folder))[1:-1]
            raise InputError(f"cannot be read ({error.strerror or error})", where=where, fix="check it") from None
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if _is_folder(entry):
                if not entry.name.startswith(".") or made_by_program(entry.name):
                    waiting.append(key)
            else:
                yield key


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other
        return False


def _head_at(path: Path) -> Callable[[], bytes]:
    def head() -> bytes:
        try:
            if not path.is_file():
                return b""  # opening a pipe or a device could wait for ever
            with path.open("rb") as file:
                return file.read(HEAD)
        except OSError:
            return b""

    return head


def _remarks(listing: Listing) -> Iterator[Remark]:
    foreign = listing.of("foreign")
    if foreign:
        kinds = Counter(entry.detail for entry in foreign)
        shown = ", ".join(f"{kind} ({number})" for kind, number in kinds.most_common())
        what = f"{counted(len(foreign), 'file is no image', 'files are no images')} this reads: {shown}"
        fix = "; ".join(dict.fromkeys(way_out(kind) for kind in kinds))
        yield Remark("error", "unread_format", what, fix, tuple(entry.key for entry in foreign))
    program = listing.of("program")
    if program:
        kinds = Counter(entry.detail for entry in program)
        shown = ", ".join(f"{folder} ({number})" for folder, number in kinds.most_common())
        what = f"{counted(len(program), 'image')} in folders that programs make for themselves left out: {shown}"
        fix = "nothing; move them elsewhere if they are yours"
        yield Remark("note", "program_folders", what, fix, tuple(entry.key for entry in program))
    for why, what, fix in (
        ("placeholder", "left out as a failed download's placeholder by its name", "rename it if it is a picture"),
        ("hidden", "left out because its name begins with a dot", "rename it if it is to be used"),
    ):
        entries = [entry for entry in listing.left_out if entry.why == why]
        if entries:
            shown = ", ".join(PurePosixPath(entry.key).name for entry in entries[:5])
            text = f"{counted(len(entries), 'image')} {what}: {shown}"
            yield Remark("note", why, text, fix, tuple(entry.key for entry in entries))
    if listing.unnamed:
        shown = ", ".join(PurePosixPath(key).name for key in listing.unnamed[:3])
        what = f"{counted(len(listing.unnamed), 'image')} known by content, not by name, and read: {shown}"
        yield Remark("note", "unnamed", what, "nothing, or give their names an ending such as .jpg", listing.unnamed)
