"""Libraries of sound devices, which write to standard error as they please."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

_STANDARD_ERROR = 2


@contextmanager
def quiet_libraries() -> Generator[None]:
    """Keeps what ALSA and PortAudio write to standard error off it: an underrun would go right across the screen.

    They write to the file descriptor; what Python writes to `sys.stderr` is still seen.
    """
    try:
        kept = os.dup(_STANDARD_ERROR)
    except OSError:  # it is closed: there is nothing to keep anything off
        yield
        return
    ours = sys.stderr
    sys.stderr = os.fdopen(os.dup(kept), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STANDARD_ERROR)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.close()
        sys.stderr = ours
        os.dup2(kept, _STANDARD_ERROR)
        os.close(kept)
