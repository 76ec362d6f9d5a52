"""The demo over many seeds: words heard wrong, turns left without an answer, latencies as read from the recordings.

Every call is held in real time with real sound, one after another: about 40 s each.

    python -m benchmarks.demo_calls [--seeds 20]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from antiphon.cli.demo.measure import words


def call(seed: int, folder: Path) -> list[dict[str, Any]]:
    """Hold one call; returns what was measured of its turns."""
    out = folder / str(seed)
    command = [sys.executable, "-m", "antiphon", "demo", "--seed", str(seed), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    record = json.loads((out / "conversation.json").read_text(encoding="utf-8"))
    return record["antiphon"]["demo"]["turns"]


def milliseconds(values: list[float]) -> str:
    """Median and range."""
    if not values:
        return "none"
    low, high = min(values) * 1000, max(values) * 1000
    return f"median {median(values) * 1000:.1f} ms ({low:.1f} to {high:.1f}, n={len(values)})"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    turns: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.first, options.first + options.seeds):
            these = call(seed, Path(folder))
            turns += these
            wrong = [f"{turn['said']!r} -> {turn['heard']!r}" for turn in these if turn["wrong_words"]]
            print(f"seed {seed}: {sum(t['wrong_words'] for t in these)} words wrong; {'; '.join(wrong)}", flush=True)
    said = sum(len(words(turn["said"])) for turn in turns)
    wrong_words = sum(turn["wrong_words"] for turn in turns)
    answered = [turn for turn in turns if turn["recorded_latency"] is not None]
    print(f"words heard wrong: {wrong_words} of {said} = {wrong_words / said:.1%}")
    print(f"turns without an answer: {len(turns) - len(answered)} of {len(turns)}")
    print(f"latency, recorded: {milliseconds([turn['recorded_latency'] for turn in answered])}")
    print(f"besides engines and endpoint wait: {milliseconds([turn['overhead'] for turn in answered])}")
    gaps = [abs(turn["recorded_latency"] - turn["waterfall_sum"]) for turn in answered]
    print(f"recording against waterfall: {milliseconds(gaps)}")
    print(f"within 10 ms: {sum(gap <= 0.010 for gap in gaps)} of {len(gaps)}")


if __name__ == "__main__":
    main()
