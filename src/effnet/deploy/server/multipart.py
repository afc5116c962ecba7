"""Taking the image out of a multipart form."""

from __future__ import annotations

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from effnet.errors import EffnetError

MAX_PARTS = 16


class MultipartError(EffnetError):
    """A form that holds no image, or is none."""


def image_part(content_type: str, body: bytes) -> bytes:
    """Return the bytes of the one file in a form.

    Args:
        content_type: of the request, with its boundary.
        body: the whole form.

    Raises:
        MultipartError: damaged, more than `MAX_PARTS` parts, or not exactly one file.
    """
    _kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise MultipartError("the form has no boundary", fix="let the client write the Content-Type of the form")
    form = _Form(body)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.begin,
                "on_header_field": form.field,
                "on_header_value": form.value,
                "on_header_end": form.header,
                "on_part_data": form.data,
                "on_end": form.end,
            },
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise MultipartError(f"the form is damaged ({error.__class__.__name__})", fix="send it again") from None
    return form.image()


class _Form:
    """Notes where the file's bytes lie while the parser reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._files: list[list[bytes]] = []
        self._parts = 0
        self._field = self._value = b""
        self._in_file = self._complete = False

    def begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise MultipartError(f"more than {MAX_PARTS} parts", fix="send one image")
        self._in_file = False

    def field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header(self) -> None:
        if self._field.lower() == b"content-disposition":
            _kind, options = parse_options_header(self._value)
            if b"filename" in options:
                self._in_file = True
                self._files.append([])
        self._field = self._value = b""

    def data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._files[-1].append(data[start:end])

    def end(self) -> None:
        self._complete = True

    def image(self) -> bytes:
        if not self._complete:
            raise MultipartError("the form ends too early", fix="send it again")
        if len(self._files) != 1:
            what = f"{len(self._files)} files in the form"
            raise MultipartError(what, fix="send exactly one, as curl -F image=@photo.jpg does")
        return b"".join(self._files[0])
