"""Messages between a vector environment and its workers."""

import math
import os
import select
import struct
from multiprocessing.connection import Connection
from typing import Any

_HEAD = struct.Struct("<q?")


class Wire:
    """Sends numbers, some of them with more to say.

    A step is told and answered by a number alone: it costs one system call at either end.

    Args:
        connection: A pipe to another process; also for what needs no number.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._file = connection.fileno()
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def send(self, number: int, body: object = None) -> None:
        """Send a number, and then `body` pickled, unless that is `None`.

        Raises `ConnectionError` when the other end is closed.
        """
        os.write(self._file, _HEAD.pack(number, body is not None))
        if body is not None:
            self.connection.send(body)

    def receive(self) -> tuple[int, Any]:
        """Wait for the next number, and what came with it.

        Raises `EOFError` or `ConnectionError` when the other end is closed, and whatever the
        body raises when it is unpickled.
        """
        head = os.read(self._file, _HEAD.size)
        if not head:
            raise EOFError
        number, more = _HEAD.unpack(head)
        return number, self.connection.recv() if more else None

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to receive; False if there was not in time."""
        return bool(self._poll.poll(math.ceil(seconds * 1e3)))
