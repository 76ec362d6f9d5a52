"""Whether a journal survives the death of its process: 100 times `kill -9` at a random moment, on one SQLite file.

A process appends to journals and says which pieces the store has acknowledged. After each kill, every acknowledged
piece has to be there as it was written, with none missing before it, and the file has to be intact.

    python -m benchmarks.kills [--kills 100]
    python -m benchmarks.kills --server         the same of a whole server: server_kills.py
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from antiphon.errors import NotFoundError
from antiphon.store.conversations import Conversation
from antiphon.store.store import open_store
from benchmarks import server_kills

ROOT = Path(__file__).resolve().parent.parent
CONVERSATIONS = ("conv_0", "conv_1", "conv_2")
"Each piece is written to all of them in one transaction."
SHOUT = 60
"Acknowledgements after which a process is killed at the latest."


@dataclass(frozen=True)
class Survival:
    """What one kill has left."""

    acknowledged: int
    "Pieces of each journal that were acknowledged, those before this process included."
    found: int
    "Pieces of each journal that are there; one more than acknowledged where the kill came before the word."
    intact: bool
    "Whether the file is, and every piece what was written, in all journals alike."

    @property
    def lost(self) -> int:
        """Acknowledged pieces that are gone."""
        return max(self.acknowledged - self.found, 0)


def piece(number: int) -> bytes:
    """What is written as this number: up to 20 kB, so that the log is folded into the file now and then."""
    source = random.Random(number)
    return f"{number} {hashlib.sha256(str(number).encode()).hexdigest()} ".encode() * source.randint(1, 300) + b"\n"


async def write(url: str) -> None:
    """Append until killed; each number is printed once the store has acknowledged it."""
    async with open_store(url) as store:
        try:
            await store.conversations.get(CONVERSATIONS[0])
        except NotFoundError:
            begun = [Conversation(identifier, "agent", 0.0) for identifier in CONVERSATIONS]
            await store.conversations.append({}, (), now=0.0, begun=begun)
        number = len(await store.conversations.journal(CONVERSATIONS[0]))
        while True:
            chunk = [(number, piece(number))]
            await store.conversations.append(dict.fromkeys(CONVERSATIONS, chunk), (), now=float(number))
            os.write(1, f"{number}\n".encode())
            number += 1


async def _journals(url: str) -> list[list[bytes]]:
    async with open_store(url) as store:
        return [await store.conversations.journal(identifier) for identifier in CONVERSATIONS]


def kill_one(file: Path, before: int, chance: random.Random) -> Survival:
    """Start a process that writes, kill it at a random moment, and look. `before`: pieces acknowledged earlier."""
    command = [sys.executable, "-m", "benchmarks.kills", "--write", str(file)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process, process.stdout as output:
        said = b"".join(output.readline() for _ in range(chance.randint(1, SHOUT)))
        time.sleep(chance.uniform(0, 0.005))  # somewhere in the midst of a transaction
        process.send_signal(signal.SIGKILL)
        said += output.read()
        status = process.wait()
    if status != -signal.SIGKILL:
        raise RuntimeError(f"the process that writes ended by itself: {status}")
    numbers = [int(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]
    acknowledged = max([before, *(number + 1 for number in numbers)])
    journals = asyncio.run(_journals(f"sqlite:///{file}"))
    connection = sqlite3.connect(file)
    try:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sound = sound and not connection.execute("PRAGMA foreign_key_check").fetchall()
    finally:
        connection.close()
    found = len(journals[0])
    as_written = all(journal == [piece(number) for number in range(found)] for journal in journals)
    return Survival(acknowledged, found, sound and as_written)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", action="store_true", help="kill whole servers that hold conversations")
    parser.add_argument("--write", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        asyncio.run(write(f"sqlite:///{options.write}"))
    if options.server:
        return server_kills.measure(options.kills, options.seed)
    chance = random.Random(options.seed)
    lost = damaged = unspoken = acknowledged = 0
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.kills):
            survival = kill_one(Path(folder, "antiphon.db"), acknowledged, chance)
            acknowledged = survival.found
            lost += survival.lost
            damaged += not survival.intact
            unspoken += survival.found > survival.acknowledged
    print(f"kills {options.kills}, pieces acknowledged {acknowledged} in each of {len(CONVERSATIONS)} journals")
    print(f"acknowledged pieces lost: {lost}")
    print(f"damaged databases: {damaged}")
    print(f"kills between commit and acknowledgement: {unspoken}")
    return 1 if lost or damaged else 0


if __name__ == "__main__":
    raise SystemExit(main())
