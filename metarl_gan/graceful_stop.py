"""Ctrl-C and SIGTERM end a run after its current meta-iteration, with a checkpoint."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STANDARD_ERROR = 2


class GracefulStop:
    """While active, the first signal only sets `requested`; a second one acts as usual.

    Outside of the main thread, where Python allows no handlers, nothing is changed. `notice` is
    written to standard error at the first signal.
    """

    def __init__(self, notice: str = "") -> None:
        self.requested: signal.Signals | None = None
        self._notice = notice
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number)
        self._put_back()
        if self._notice:
            # Not print: the signal may have come in the middle of one.
            os.write(STANDARD_ERROR, f"\n{self._notice}\n".encode())

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM raises `KeyboardInterrupt` too, so that both end a program in the same way.

    Outside of the main thread nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
