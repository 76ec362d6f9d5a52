"""A server of our own, started as anybody would start it, for the verbs that need one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from antiphon.errors import SessionError

START = 60.0
"Seconds that the server may take to load its agents."
STOP = 10.0


@asynccontextmanager
async def serving(agents: Path, data: Path, key: str) -> AsyncGenerator[str]:
    """`antiphon serve` as a program, for as long as the context lasts. Yields its address.

    Raises:
        SessionError: it did not start; it has told why on standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "antiphon", "serve", "--port", "0", "--agents", str(agents), "--data", str(data)),
        env={"ANTIPHON_LOG_LEVEL": "warning", **os.environ, "ANTIPHON_API_KEY": key},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None, "it was asked for"
        async with asyncio.timeout(START):
            ready = (await process.stdout.readline()).decode().split()
        if ready[:2] != ["antiphon", "ready"]:
            raise SessionError("the server did not start")
        yield ready[2]
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(STOP):
            await process.wait()
