"""A file on a web server, read like a local one: only the ranges that are read are asked for."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable

SMALLEST = 1 << 15  # bytes of a first request after a jump; each further one asks for twice as much
LARGEST = 1 << 20
KEPT = 32  # blocks; demuxers look at the beginning more than once


class NotInParts(Exception):
    """This media can only be fetched whole; `str()` is the reason, to be read after "fetched whole: "."""


class RangeFile(io.RawIOBase):
    """`get(first, end)` returns the bytes of [first, end). What it raises is kept in `failure`, as demuxers hide it."""

    def __init__(self, get: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self._get = get
        self._size = size
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()  # by their first byte
        self._next = SMALLEST
        self._read_to = 0  # where the newest block ended
        self._expected = (0, 0)
        self.failure: BaseException | None = None

    def expect(self, first: int, end: int) -> None:
        """All of [first, end) is going to be read, and nothing right behind it: ask for it in large pieces."""
        self._expected = (first, end)

    def keep(self, first: int, block: bytes) -> None:
        """Bytes that came already."""
        self._blocks[first] = block
        self._read_to = first + len(block)
        if len(self._blocks) > KEPT:
            self._blocks.popitem(last=False)

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, as a raw file: fewer than asked for where a block ends."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        if self._position >= end:
            return b""
        try:
            first, block = self._block(self._position)
        except BaseException as error:
            self.failure = self.failure or error
            raise
        piece = block[self._position - first : end - first]
        self._position += len(piece)
        return piece

    def _block(self, position: int) -> tuple[int, bytes]:
        """The block that holds a position, and its first byte."""
        for first, block in reversed(self._blocks.items()):
            if first <= position < first + len(block):
                self._blocks.move_to_end(first)
                return first, block
        first, end = self._expected
        if first <= position < end:
            wanted = min(end, position + LARGEST)
        else:
            self._next = min(2 * self._next, LARGEST) if position == self._read_to else SMALLEST
            wanted = position + self._next
        # Never a byte twice: up to the next block that is there.
        ahead = [start for start in self._blocks if start > position]
        block = self._get(position, min([wanted, self._size, *ahead]))
        self.keep(position, block)
        return position, block
