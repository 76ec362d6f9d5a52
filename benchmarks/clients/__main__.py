"""The Python client beside the original's: CPU, latency, threads, and what importing it takes.

Same class against same class, against one scripted server on the other core, in turns within one run. A session has
10 pieces of sound a second to play and 4 to send. Latency: from the server's sending to the sound device. The original
is in .venv-compat/elevenlabs (`make test` installs it).

    python -m benchmarks.clients [--rounds 3] [--seconds 15]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.figures import percentile, ratio, verdict

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PYTHON = {"ours": sys.executable, "theirs": str(ROOT / ".venv-compat" / "elevenlabs" / "bin" / "python")}
CPU_GOALS = {("async", 1): 0.55, ("async", 20): 0.5, ("sync", 1): 0.8, ("sync", 20): 0.85}
LATENCY_GOAL = 0.7
IMPORTS = {
    "ours": "from antiphon import Antiphon; from antiphon.conversational_ai.conversation import Conversation; "
    "Antiphon('http://127.0.0.1')",
    "theirs": "from elevenlabs import ElevenLabs; from elevenlabs.conversational_ai.conversation import Conversation; "
    "ElevenLabs(base_url='http://127.0.0.1', api_key='none')",
    "nothing": "pass",
}
MEASURED = (
    "{}\nimport resource, sys, time; "
    "print(time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "
    "*({{'numpy', 'pydantic', 'typer'}} & set(sys.modules)))"
)


def environment() -> dict[str, str]:
    """For the clients: the tree that this module is from."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_PROXY": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": ""}


def driven(which: str, mode: str, sessions: int, port: str, seconds: float) -> dict[str, Any]:
    """What a driver prints."""
    command = [PYTHON[which], str(FOLDER / "driver.py"), which, mode, str(sessions), port, str(seconds)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=seconds + 60)
    return json.loads(done.stdout)


def conversations(port: str, rounds: int, seconds: float) -> bool:
    """CPU, latency and threads of both classes."""
    met = True
    for (mode, sessions), goal in CPU_GOALS.items():
        runs = [
            {which: driven(which, mode, sessions, port, seconds) for which in ("ours", "theirs")} for _ in range(rounds)
        ]
        cpu = {which: [run[which]["cpu_ms"] for run in runs] for which in ("ours", "theirs")}
        late = {which: [percentile(run[which]["latencies"], 0.5) for run in runs] for which in ("ours", "theirs")}
        share, sooner = ratio(cpu["ours"], cpu["theirs"]), ratio(late["ours"], late["theirs"])
        threads = {which: runs[0][which]["threads"] for which in ("ours", "theirs")}
        print(
            f"{mode:>5} {sessions:>2}: CPU {median(cpu['ours']):.2f} ms a second and session, "
            f"theirs {median(cpu['theirs']):.2f}; latency p50 {median(late['ours']):.0f} us, "
            f"theirs {median(late['theirs']):.0f}; threads {threads['ours']}, theirs {threads['theirs']}"
        )
        print(f"       {mode} {sessions} CPU ratio {share:.2f} (at most {goal:g}: {verdict(share, goal)})")
        print(
            f"       {mode} {sessions} latency ratio {sooner:.2f} (at most {LATENCY_GOAL:g}: "
            f"{verdict(sooner, LATENCY_GOAL)})"
        )
        met = met and share <= goal and sooner <= LATENCY_GOAL
    return met


def imports(rounds: int) -> bool:
    """What importing takes, beyond an interpreter that imports nothing where that is said."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in IMPORTS}
    loaded = ""
    for _ in range(rounds):
        for name, program in IMPORTS.items():
            python = PYTHON["theirs" if name == "theirs" else "ours"]
            done = subprocess.run(
                [python, "-c", MEASURED.format(program)], env=environment(), capture_output=True, text=True, check=True
            )
            cpu, memory, *heavy = done.stdout.split()
            figures[name].append((1000 * float(cpu), float(memory)))
            loaded = " ".join(heavy) if name == "ours" else loaded
    for name, values in figures.items():
        print(f"import {name}: {median(v[0] for v in values):.0f} ms of CPU, {median(v[1] for v in values):.1f} MB")
    cpu = ratio([each[0] for each in figures["ours"]], [each[0] for each in figures["theirs"]])
    memory = ratio([each[1] for each in figures["ours"]], [each[1] for each in figures["theirs"]])
    print(f"import CPU ratio {cpu:.2f} (at most 0.3: {verdict(cpu, 0.3)})")
    print(f"import memory ratio {memory:.2f} (at most 0.65: {verdict(memory, 0.65)})")
    print(f"of numpy, pydantic and typer it loads: {loaded or 'none'}")
    return cpu <= 0.3 and memory <= 0.65 and not loaded


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    arguments = parser.parse_args()
    if not Path(PYTHON["theirs"]).exists():
        parser.error(f"{PYTHON['theirs']} is not there: `make .venv-compat-elevenlabs` installs it")
    cores = sorted(os.sched_getaffinity(0))
    met = imports(3 * arguments.rounds)
    peer = subprocess.Popen([sys.executable, str(FOLDER / "peer.py")], stdout=subprocess.PIPE, text=True)
    try:
        os.sched_setaffinity(peer.pid, {cores[0]})
        os.sched_setaffinity(0, {cores[-1]})
        assert peer.stdout is not None
        met = conversations(peer.stdout.readline().strip(), arguments.rounds, arguments.seconds) and met
    finally:
        peer.terminate()
        peer.wait()
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
