"""A bar on stderr for whatever takes longer than a second, when somebody is watching."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

PATIENCE_S = 1.0
TICK_S = 0.1
BAR_WIDTH = 30


class Progress:
    """`array` holds what is done, all there is, and the wish to stop: C writes, a thread here reads."""

    def __init__(self, what: str, show: Callable[[float], str]) -> None:
        self.what = what
        self.show = show
        self.array: Any = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            import numpy as np

            self.array = np.zeros(3, np.uint64)
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        shown = False
        wait = PATIENCE_S
        while not self._ended.wait(wait):
            done, total, _ = self.array.tolist()
            sys.stderr.write("\r" + self.line(done, total) + "\033[K")
            sys.stderr.flush()
            shown, wait = True, TICK_S
        if shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def line(self, done: int, total: int) -> str:
        share = min(done / total, 1.0) if total else 0.0
        full = round(share * BAR_WIDTH)
        bar = "#" * full + "." * (BAR_WIDTH - full)
        return f"{self.what} [{bar}] {share:4.0%} of {self.show(total)}"
