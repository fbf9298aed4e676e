"""A stream of bytes in which a delimiter of several characters is replaced by one that fast readers take."""

import io
from typing import IO


class Replaced(io.RawIOBase):
    """``raw`` with every ``old`` (one character, several times) written as ``new``."""

    def __init__(self, raw: IO[bytes], old: bytes, new: bytes) -> None:
        self.raw, self.old, self.new = raw, old, new
        self.left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self.left:
            self.left = memoryview(self._chunk())
        count = min(len(buffer), len(self.left))
        buffer[:count] = self.left[:count]
        self.left = self.left[count:]
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()

    def _chunk(self) -> bytes:
        chunk = self.raw.read(2**20)
        while chunk.endswith(self.old[:1]) and (more := self.raw.read(1)):  # no delimiter is cut in two
            chunk += more
        return chunk.replace(self.old, self.new)
