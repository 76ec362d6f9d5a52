"""`antiphon talk` as a program, against a real server: what it prints, keeps and returns."""

from __future__ import annotations

import codecs
import errno
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from antiphon.audio.levels import first_sound, last_sound, rms
from antiphon.audio.wav import read_tracks, write_wav

ANTIPHON = [sys.executable, "-m", "antiphon"]
KEY = "sk_of_the_tests"
AT_A_TERMINAL = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.argv[1], sys.argv[1:])"
"A session that opens a terminal has it as its own: its keyboard's Ctrl-C is for every process of the session."
CTRL_C = "\x03"
RATE = 16_000
LONG = "This answer is so long that a caller who is in a hurry will want to say something before it has ended."
RULES = [
    {
        "when": "^weather in (\\w+)",
        "tool": {"name": "weather", "parameters": {"city": "{1}"}},
        "then": "It is {result}.",
    },
    {"when": "^story", "say": LONG},
    {"when": "^goodbye", "say": "Goodbye."},
    {"say": "You said something."},
]
TOOL = {
    "type": "client",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}},
    "expects_response": True,
}
EVENTS = ["audio", "interruption", "agent_response", "agent_response_correction", "user_transcript", "client_tool_call"]


def document(lines: list[str], *, auth: bool = False, voice: str = "pcm_16000") -> dict[str, Any]:
    """A scripted agent that hears `lines`, whatever is said."""
    return {
        "name": "Desk",
        "conversation_config": {
            "agent": {"first_message": "Hello {{name}}.", "prompt": {"prompt": "", "tools": [TOOL]}},
            "conversation": {"client_events": EVENTS},
            "asr": {"user_input_audio_format": voice},
            "tts": {"agent_output_audio_format": voice},
            "antiphon": {
                "llm": {"engine": "scripted", "rules": RULES},
                "stt": {"engine": "scripted", "lines": lines},
                "tts": {"engine": "scripted"},
                "vad": {"engine": "energy"},
            },
        },
        "platform_settings": {"auth": {"enable_auth": auth}},
    }


@contextmanager
def serving(folder: Path, kinds: dict[str, dict[str, Any]]) -> Generator[str]:
    """The address of `antiphon serve` with these agents, whose files are in `folder / "agents"`."""
    agents = folder / "agents"
    agents.mkdir()
    for name, agent in kinds.items():
        (agents / f"{name}.json").write_text(json.dumps(agent), encoding="utf-8")
    process = subprocess.Popen(
        [*ANTIPHON, "serve", "--port", "0", "--agents", str(agents), "--data", str(folder / "data")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "ANTIPHON_API_KEY": KEY, "ANTIPHON_LOG_LEVEL": "warning"},
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield process.stdout.readline().split()[2]
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with agents of every kind."""
    kinds = {
        "desk": document(["weather in Rome", "goodbye"]),
        "hasty": document(["story", "goodbye please stop now"]),
        "telephone": document(["goodbye"], voice="ulaw_8000"),
        "private": document([], auth=True),
    }
    with serving(tmp_path_factory.mktemp("talk"), kinds) as address:
        yield address


def environment(**given: str) -> dict[str, str]:
    """Ours, without keys."""
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**plain, "COLUMNS": "100", "TERM": "xterm", **given}


def talk(*arguments: str | Path, said: str = "", **given: str) -> subprocess.CompletedProcess[str]:
    """One call of the verb; `said` is its standard input."""
    command = [*ANTIPHON, "talk", *map(str, arguments)]
    return subprocess.run(
        command, input=said, capture_output=True, text=True, check=False, timeout=60, env=environment(**given)
    )


def shown(ran: subprocess.CompletedProcess[str]) -> list[tuple[str, str]]:
    """(who, what) of each line."""
    assert ran.returncode == 0, ran.stderr
    return [(line[10:21].strip(), line[23:]) for line in ran.stdout.splitlines()]


def voice(path: Path, *seconds: float) -> Path:
    """A WAV file of sound and silence in turns, sound first."""
    samples: list[int] = []
    for index, length in enumerate(seconds):
        count = round(length * RATE)
        samples += [
            0 if index % 2 else round(9000 * math.sin(i * 0.07) * (1 + math.sin(i * 0.001)) / 2) for i in range(count)
        ]
    write_wav(path, RATE, struct.pack(f"<{len(samples)}h", *samples))
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A file with one public function."""
    path = tmp_path / "my_tools.py"
    path.write_text('def weather(city: str) -> str:\n    """Tells the weather."""\n    return f"sunny in {city}"\n')
    return path


# ---------------------------------------------------------------------------------------------------------- typed


def test_what_is_piped_in_is_answered_line_by_line(server: str, tools: Path) -> None:
    """Each line waits for the answer to the one before; a tool of the file is run; then it ends."""
    ran = talk(
        *("desk", "--url", server, "--text", "--tools", tools, "--variable", "name=Ada"),
        said="weather in Oslo\ngoodbye\n",
    )
    dialogue = [words for words in shown(ran) if words[0] not in ("connected", "latency", "ended")]
    assert dialogue == [
        ("agent", "Hello Ada."),
        ("user", "weather in Oslo"),
        ("tool", 'weather(city="Oslo")'),
        ("result", "sunny in Oslo"),
        ("agent", "It is sunny in Oslo."),
        ("user", "goodbye"),
        ("agent", "Goodbye."),
    ]
    assert ran.stderr == ""


def test_json_has_every_event_on_a_line_of_its_own(server: str) -> None:
    """The protocol's messages with `at`, and what talk adds: latency and the end."""
    ran = talk("desk", "--url", server, "--text", "--json", "--variable", "name=Ada", said="hello\n")
    assert ran.returncode == 0, ran.stderr
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "conversation_initiation_metadata"
    assert kinds.index("user_message") < kinds.index("latency") < kinds.index("ended") == len(kinds) - 1
    assert events[-1]["conversation_id"].startswith("conv_")
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_a_private_agent_is_reached_with_the_environments_key(server: str) -> None:
    """With a key a signed URL is asked for; ElevenLabs' variable serves where Antiphon's is not set."""
    for name in ("ANTIPHON_API_KEY", "ELEVENLABS_API_KEY"):
        ran = talk("private", "--url", server, "--text", "--variable", "name=Ada", said="goodbye\n", **{name: KEY})
        assert ("agent", "Goodbye.") in shown(ran)


def test_a_key_of_another_server_does_not_keep_one_from_a_public_agent(server: str) -> None:
    """It is refused, and the conversation held without it."""
    ran = talk(
        "desk", "--url", server, "--text", "--variable", "name=Ada", said="goodbye\n", ELEVENLABS_API_KEY="sk_other"
    )
    assert ("agent", "Goodbye.") in shown(ran)


# ---------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("agent", ["desk", "telephone"])
def test_a_file_is_said_when_the_greeting_is_over_and_both_sides_are_kept(
    server: str, tmp_path: Path, tools: Path, agent: str
) -> None:
    """Left the file, right the agent, in time; whatever the formats are."""
    record = tmp_path / "both.wav"
    wav = voice(tmp_path / "said.wav", 1.0, 0.5)
    ran = talk(agent, "--url", server, "--wav", wav, "--record", record, "--tools", tools, "--variable", "name=Ada")
    words = shown(ran)
    assert ("user", "weather in Rome" if agent == "desk" else "goodbye") in words
    assert ("agent", "It is sunny in Rome." if agent == "desk" else "Goodbye.") in words
    rate, left, right = read_tracks(record)
    assert rate == RATE
    begin, end = first_sound(left, rate), last_sound(left, rate)
    assert begin is not None
    assert end is not None
    assert end - begin == pytest.approx(1.0, abs=0.05)
    greeting = last_sound(right[: 2 * round(begin * rate)], rate)
    answer = first_sound(right[2 * round(end * rate) :], rate)
    assert greeting is not None, "the agent greets before the file begins"
    assert greeting < begin
    assert answer is not None
    latency = float(next(what for who, what in words if who == "latency").removesuffix(" ms")) / 1000
    assert answer == pytest.approx(latency, abs=0.08), "the time shown is the one that the recording has"


def test_of_an_answer_that_is_interrupted_only_what_was_heard_is_shown_and_kept(server: str, tmp_path: Path) -> None:
    """The correction is a line; the right track falls silent while the caller speaks."""
    record = tmp_path / "both.wav"
    wav = voice(tmp_path / "said.wav", 0.0, 1.5, 0.8, 2.5, 1.5)
    ran = talk(
        *(
            "hasty",
            "--url",
            server,
            "--wav",
            wav,
            "--at-once",
            "--record",
            record,
            "--variable",
            "name=Ada",
            "--limit",
            "30",
        )
    )
    words = shown(ran)
    heard = [what for who, what in words if who == "heard"]
    assert any(who == "interrupted" for who, _ in words)
    assert any(LONG.startswith(text) and text != LONG for text in heard)
    rate, _, right = read_tracks(record)
    whole = len(LONG) * 0.06
    assert rms(right) > 0
    assert (last_sound(right, rate) or 0.0) < whole + 2.3, "what was never heard is not in the recording"


def test_a_muted_caller_says_nothing(server: str, tmp_path: Path) -> None:
    """The left track is silent, and the server hears nothing."""
    record = tmp_path / "both.wav"
    wav = voice(tmp_path / "said.wav", 0.8)
    ran = talk(
        *("desk", "--url", server, "--wav", wav, "--mute", "--record", record, "--variable", "name=Ada", "--limit", "4")
    )
    assert not any(who == "user" for who, _ in shown(ran))
    assert rms(read_tracks(record)[1]) == 0


# --------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody", "--text", "--variable", "name=Ada"], "no agent with id 'nobody'"),
        (["private", "--text", "--variable", "name=Ada"], "needs a signed address or a key"),
        (["desk", "--text"], "name"),
        (["desk", "--variable", "name"], "NAME=VALUE"),
        (["desk", "--text", "--record", "x.wav"], "--text"),
        (["desk", "--tools", "missing.py"], "missing.py: there is no such file"),
        (["desk", "--wav", "missing.wav"], "missing.wav"),
        (["--show-tools"], "--tools"),
    ],
)
def test_what_goes_wrong_is_told_in_one_sentence(server: str, arguments: list[str], sentence: str) -> None:
    """Exit code 1, one line on standard error, no traceback."""
    ran = talk("--url", server, *arguments)
    assert ran.returncode == 1, ran.stdout
    assert sentence in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr


def test_a_server_that_is_not_there_is_named() -> None:
    """With its address."""
    ran = talk("desk", "--url", "http://127.0.0.1:9", "--text")
    assert ran.returncode == 1
    assert "there is no server at http://127.0.0.1:9" in ran.stderr


def test_without_a_sound_device_the_other_ways_are_named(server: str) -> None:
    """`--wav`, `--text`, `--list-devices`: in one sentence."""
    ran = talk("desk", "--url", server, "--variable", "name=Ada", "--input-device", "no such device")
    assert ran.returncode == 1
    assert "--wav" in ran.stderr
    assert "--text" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_tools_file_that_fails_is_named_with_its_line(server: str, tmp_path: Path) -> None:
    """Whether it does not parse, raises, or has nothing in it."""
    path = tmp_path / "tools.py"
    for text, sentence in (
        ("x = 1\nraise RuntimeError('no key')\n", "tools.py:2: RuntimeError: no key"),
        ("def weather(:\n", "tools.py:1: SyntaxError"),
        ("def _hidden() -> None: ...\n", "tools.py: there is no tool in this file"),
    ):
        path.write_text(text)
        ran = talk("desk", "--url", server, "--text", "--tools", path)
        assert ran.returncode == 1
        assert sentence in ran.stderr


def test_the_tools_definitions_can_be_shown(tools: Path) -> None:
    """As an agent's configuration takes them, so that the agent can be told of them."""
    ran = talk("--show-tools", "--tools", tools)
    (definition,) = json.loads(ran.stdout)
    assert definition["name"] == "weather"
    assert definition["parameters"]["properties"]["city"]["type"] == "string"


# ------------------------------------------------------------------------------------------------------- terminal


class Terminal:
    """The verb on a terminal of 100 columns and 30 lines, whose Ctrl-C it gets."""

    def __init__(self, *arguments: str | Path, **given: str) -> None:
        self._own, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        command = [sys.executable, "-S", "-c", AT_A_TERMINAL, *ANTIPHON, "talk", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**given), start_new_session=True
        )
        os.close(theirs)
        self.seen = ""
        self._is_over = False
        self._more = threading.Condition()
        # Whether or not anybody waits for it: a program whose terminal is not read stands still.
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def read_until(self, pattern: str) -> None:
        """Until what was shown since the start matches; a minute's patience."""
        with self._more:
            self._more.wait_for(lambda: self._is_over or re.search(pattern, self.seen, re.DOTALL), 60)
            assert re.search(pattern, self.seen, re.DOTALL), self.seen

    def type(self, text: str) -> None:
        """Keys."""
        os.write(self._own, text.encode())

    def end(self) -> int:
        """Waits for the end; the exit code."""
        self._reading.join(60)
        assert not self._reading.is_alive(), self.seen
        os.close(self._own)
        return self.process.wait(10)

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            try:
                data = os.read(self._own, 65536)
            except OSError as error:
                assert error.errno == errno.EIO  # noqa: PT017 - how a terminal's end is told
                data = b""
            with self._more:
                self.seen += decoder.decode(data)
                self._is_over = not data
                self._more.notify_all()
            if not data:
                return

    def frames(self) -> list[str]:
        """What stood on the screen, one drawing after another."""
        drawings = re.split(r"(?:\x1b\[1A\x1b\[2K)+|\x1b\[2K", self.seen)
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawing).replace("\r", "") for drawing in drawings]


def test_the_live_screen_shows_transcript_meters_and_times(server: str, tmp_path: Path, tools: Path) -> None:
    """All on one screen; afterwards the transcript stays."""
    wav = voice(tmp_path / "said.wav", 1.0)
    terminal = Terminal("desk", "--url", server, "--wav", wav, "--tools", tools, "--variable", "name=Ada")
    assert terminal.end() == 0, terminal.seen
    answered = [
        frame for frame in terminal.frames() if "agent  It is sunny in Rome." in frame and "Ctrl-C ends" in frame
    ]
    assert answered, terminal.seen[-3000:]
    assert 'tool   weather(city="Rome") → sunny in Rome' in answered[-1]
    assert "user   weather in Rome" in answered[-1]
    assert re.search(r"microphone\s*░+ -60 dB", answered[-1])
    assert re.search(r"answer \d+ ms", answered[-1])
    assert any(re.search(r"agent\s+█+░+ -\d+ dB", frame) for frame in terminal.frames()), "the agent's meter moves"
    assert any(re.search(r"microphone\s*█+░+ -\d+ dB", frame) for frame in terminal.frames())
    assert "conv_" in terminal.frames()[-1]


def test_ctrl_c_ends_politely(server: str, tmp_path: Path) -> None:
    """Exit code 0, the transcript and the recording stay, no traceback."""
    record = tmp_path / "both.wav"
    wav = voice(tmp_path / "said.wav", 10.0)
    terminal = Terminal("desk", "--url", server, "--wav", wav, "--record", record, "--variable", "name=Ada")
    terminal.read_until("Hello Ada")
    terminal.type(CTRL_C)
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen
    assert record.exists()


def test_a_person_types_at_a_terminal_and_reads_the_answers(server: str) -> None:
    """Nothing is repeated that the terminal has shown; Ctrl-D ends."""
    terminal = Terminal("desk", "--url", server, "--text", "--variable", "name=Ada")
    terminal.read_until("Hello Ada")
    terminal.type("goodbye\n")
    terminal.read_until(r"Goodbye\.")
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.seen
    assert terminal.seen.count("Goodbye.") == 1
    assert "Traceback" not in terminal.seen
