"""The body of a request, taken in piece by piece and no further than its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ltsh_deploy.server_config import ServerConfig
from ltsh_deploy.server_errors import RequestError

__all__ = ["Room", "Upload", "Uploads"]

# RFC 2046, section 5.1.1.
_LONGEST_BOUNDARY = 70


@dataclass
class Upload:
    """One picture of a body.

    Attributes:
        source: the name that its client gives it; None where there is none. It names no file of the server's.
        data: the picture's file.
    """

    source: str | None = None
    data: bytearray = field(default_factory=bytearray)


class Uploads:
    """All bodies that are held: together they have a limit too.

    Args:
        config: the limits.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config, self.held = config, 0

    @contextmanager
    def room(self, declared: int | None) -> Iterator[Room]:
        """Room for one body, given back at the end.

        Args:
            declared: the Content-Length; None if unknown.

        Raises:
            RequestError: when the body is too large.
        """
        room = Room(self)
        try:
            room.check(declared or 0)
            yield room
        finally:
            self.held -= room.taken


class Room:
    """What one body takes up.

    Attributes:
        taken: bytes so far.
    """

    def __init__(self, uploads: Uploads) -> None:
        self._uploads, self.taken = uploads, 0

    async def receive(self, pieces: AsyncIterator[bytes], content_type: str) -> list[Upload]:
        """The pictures of a body: of a form each part, else all of it.

        Raises:
            RequestError: for a body that is too large, too slow, empty, or no form although it says so; and when all
                bodies together are too much.
        """
        config = self._uploads.config
        kind, options = parse_options_header(content_type)
        into: _Plain | _Form = _Plain()
        if kind == b"multipart/form-data":
            boundary = options.get(b"boundary", b"")
            if not 1 <= len(boundary) <= _LONGEST_BOUNDARY:
                raise RequestError("bad_request", "the form does not say what stands between its parts")
            into = _Form(boundary, config.max_pictures)
        try:
            await asyncio.wait_for(self._pour(pieces, into), config.upload_s)
        except asyncio.TimeoutError:
            raise RequestError("slow", f"the body took longer than {config.upload_s:g} seconds") from None
        uploads = into.finish()
        if not any(upload.data for upload in uploads):
            raise RequestError("bad_request", "the body holds no picture", "send a JPEG, PNG or WebP file as the body")
        return uploads

    def check(self, size: int) -> None:
        """Make sure that a body may have so many bytes.

        Raises:
            RequestError: otherwise.
        """
        limit = self._uploads.config.max_bytes
        if size > limit:
            raise RequestError("too_large", f"the body has more than {limit} bytes", "send less at a time")

    async def _pour(self, pieces: AsyncIterator[bytes], into: _Plain | _Form) -> None:
        async for piece in pieces:
            self.check(self.taken + len(piece))
            if self._uploads.held + len(piece) > self._uploads.config.max_uploads:
                raise RequestError("overload", "the server is receiving too much", "send it again in a second")
            self.taken += len(piece)
            self._uploads.held += len(piece)
            into.write(piece)


class _Plain:
    """A body that is one picture."""

    def __init__(self) -> None:
        self._upload = Upload()

    def write(self, piece: bytes) -> None:
        self._upload.data += piece

    def finish(self) -> list[Upload]:
        return [self._upload]


class _Form:
    """A body that is a form, each part of which is a picture."""

    def __init__(self, boundary: bytes, most: int) -> None:
        self._most, self._uploads, self._ended = most, list[Upload](), False
        self._field, self._value = bytearray(), bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_header_field": lambda data, start, end: self._field.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header,
                "on_end": self._end,
            },
        )

    def write(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise RequestError("bad_request", "the body is no multipart form, although it says so") from None

    def finish(self) -> list[Upload]:
        if not self._ended:
            raise RequestError("bad_request", "the form is cut off")
        return self._uploads

    def _begin(self) -> None:
        if len(self._uploads) == self._most:
            raise RequestError(
                "too_many_pictures", f"there are more than {self._most} pictures", "send fewer at a time"
            )
        self._uploads.append(Upload())

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._uploads[-1].data += data[start:end]

    def _header(self) -> None:
        if self._field.lower() == b"content-disposition":
            name = parse_options_header(bytes(self._value))[1].get(b"filename")
            if name is not None:
                self._uploads[-1].source = name.decode(errors="replace")[:200]
        self._field, self._value = bytearray(), bytearray()

    def _end(self) -> None:
        self._ended = True
