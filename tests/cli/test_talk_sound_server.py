"""`antiphon talk` on a real sound server: what is said into its microphone, what its loudspeaker is heard to say.

No bound here is about how fast something is. An answer of ten seconds is talked over, or hung up on, when it has hardly
begun: how much of it is heard tells whether it was cut short, on a busy machine too.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from benchmarks.audio_devices import pitch, tone
from benchmarks.sound_server import RATE, Monitor, SoundServer

from antiphon.audio.levels import first_sound, last_sound, rms
from antiphon.audio.wav import read_tracks

from .test_talk import ANTIPHON, CTRL_C, KEY, RULES, Terminal, document, environment, serving, talk

pytestmark = [pytest.mark.component("sounddevice"), pytest.mark.component("pulseaudio")]

GREETING = "Hello Ada."
STORY = (
    "This story goes on for so long that nobody who has anything else to do will want to hear the end of it, which is "
    "that the caller says a word, and the one who tells the story falls silent at once."
)
CUT_SHORT = 4.0
"Seconds of a story of ten that are not heard, at the least, when it is cut off after its first."
VOICE = 220
"Pitch of the scripted voice, in Hz."
QUIET = 0.6
"Seconds of silence after which the agent has finished: between two words there are 0.06."
_FRAME = 320
"Bytes: 10 ms."
HASTY = document(["story", "goodbye please stop now"])
HASTY["conversation_config"]["antiphon"]["llm"]["rules"] = [{"when": "^story", "say": STORY}, *RULES]


def spoken_seconds(text: str) -> float:
    """How long the scripted voice sounds when it says this; it is silent in spaces."""
    return 0.06 * len(text.replace(" ", ""))


def sound_seconds(audio: bytes) -> float:
    """How long there is sound in it."""
    return sum(rms(audio[at : at + _FRAME]) > 500 for at in range(0, len(audio), _FRAME)) / 100


def sounding(audio: bytes) -> tuple[int, int]:
    """Where, in bytes, its sound begins and ends."""
    begin, end = first_sound(audio, RATE), last_sound(audio, RATE)
    assert begin is not None
    assert end is not None
    return 2 * round(begin * RATE), 2 * round(end * RATE)


def from_first_to_last(audio: bytes) -> float:
    """Seconds from its first sound to its last."""
    begin, end = sounding(audio)
    return (end - begin) / (2 * RATE)


def has_sounded(seconds: float) -> Callable[[bytes], bool]:
    """Whether there is that much sound in it."""
    return lambda audio: sound_seconds(audio) >= seconds


def has_ended(seconds: float) -> Callable[[bytes], bool]:
    """Whether there is that much sound in it, and silence since: on a busy machine sound may falter, too."""
    return lambda audio: sound_seconds(audio) >= seconds and sound_seconds(audio[-round(2 * RATE * QUIET) :]) == 0


is_over = has_ended(0.01)
"Whether somebody has spoken and is silent since."


def names(server: SoundServer) -> dict[str, str]:
    """What a program must find in its environment to be heard there."""
    return {name: server.environment[name] for name in ("HOME", "PULSE_SERVER", "XDG_RUNTIME_DIR")}


def say(audio: bytes, server: SoundServer) -> None:
    """Speaks into the microphone, s16le mono at RATE; returns when it is said."""
    command = ["pacat", "--device=microphone", "--latency-msec=50", "--raw", f"--rate={RATE}", "--channels=1"]
    subprocess.run(command, input=audio, env=server.environment, check=True)


class Room:
    """A sound server, with ears at its loudspeaker and somebody who speaks into its microphone."""

    def __init__(self, server: SoundServer) -> None:
        self.names = names(server)
        self._server = server
        self._loudspeaker = Monitor("speaker", server.environment)
        self._microphone = Monitor("microphone", server.environment)  # for the short steps that the sink works in then

    def say(self, audio: bytes) -> None:
        """See the function."""
        say(audio, self._server)

    def listen(self, since: float, until: Callable[[bytes], bool]) -> bytes:
        """What is heard from that time on, as soon as it fulfils the condition; a minute's patience."""
        patience = 600
        while not until(heard := self._loudspeaker.audio(since)):
            assert patience, f"{sound_seconds(heard)} s of sound have been heard since"
            patience -= 1
            self._loudspeaker.wait(0.1)
        return heard

    def close(self) -> None:
        """Nobody listens any more."""
        self._loudspeaker.close()
        self._microphone.close()


class Talk:
    """The verb in a pipe, read line by line."""

    def __init__(self, *arguments: str | Path, **given: str) -> None:
        self.lines: list[tuple[str, str]] = []
        "(who, what) of what was printed so far."
        command = [*ANTIPHON, "talk", *map(str, arguments), "--variable", "name=Ada"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**given)
        )

    def read_until(self, who: str, what: str = "") -> None:
        """Reads to a line of theirs that begins with it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((line[10:21].strip(), line[23:].rstrip("\n")))
            if self.lines[-1][0] == who and self.lines[-1][1].startswith(what):
                return
        raise AssertionError(f"{self.lines} and {self.end()}")

    def end(self) -> tuple[int, str]:
        """Reads to the end: exit code and standard error."""
        rest, errors = self.process.communicate(timeout=30)
        self.lines += [(line[10:21].strip(), line[23:]) for line in rest.splitlines()]
        return self.process.returncode, errors


@dataclass
class Course:
    """What came of one conversation."""

    lines: list[tuple[str, str]]
    greeting: bytes
    "What was heard until the agent waited for the caller."
    answers: bytes
    "What was heard from then on."
    record: Path
    exit_code: int
    errors: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("talk")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The address of a server with the agent `hasty`."""
    with serving(folder, {"hasty": HASTY}) as address:
        yield address


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with SoundServer() as running:
        made = Room(running)
        yield made
        made.close()


@pytest.fixture(scope="module")
def course(room: Room, server: str, folder: Path) -> Course:
    """A caller asks for a story, talks over it, hears the answer and presses Ctrl-C."""
    record = folder / "both.wav"
    began = time.monotonic()
    call = Talk("hasty", "--url", server, "--record", record, **room.names)
    call.read_until("agent", GREETING)
    greeting = room.listen(began, has_ended(spoken_seconds(GREETING) - 0.15))
    since = time.monotonic()
    room.say(tone(0.7, frequency=440))
    call.read_until("agent", STORY)
    room.listen(since, has_sounded(1.0))
    room.say(tone(1.2, frequency=600))
    call.read_until("agent", "Goodbye.")
    talked_over = time.monotonic()
    room.listen(talked_over, has_ended(spoken_seconds("Goodbye.") - 0.15))
    answers = room.listen(since, is_over)
    call.process.send_signal(signal.SIGINT)
    exit_code, errors = call.end()
    return Course(call.lines, greeting, answers, record, exit_code, errors)


def test_the_greeting_is_heard(course: Course) -> None:
    """Whole, and in the agent's voice."""
    assert sound_seconds(course.greeting) == pytest.approx(spoken_seconds(GREETING), abs=0.2)
    assert pitch(course.greeting[slice(*sounding(course.greeting))]) == pytest.approx(VOICE, abs=10)


def test_what_is_said_into_the_microphone_is_answered(course: Course) -> None:
    """Every line of both sides, in order; Ctrl-C ends it well, with nothing on standard error."""
    said = [words for words in course.lines if words[0] in ("user", "agent", "interrupted")]
    assert said == [
        ("agent", GREETING),
        ("user", "story"),
        ("agent", STORY),
        ("interrupted", ""),
        ("user", "goodbye please stop now"),
        ("agent", "Goodbye."),
    ]
    assert sum(who == "latency" for who, _ in course.lines) == 2
    assert course.lines[0][0] == "connected"
    assert course.lines[-1][0] == "ended"
    assert course.lines[-1][1].startswith(course.lines[0][1])
    assert (course.exit_code, course.errors) == (0, "")


def test_an_agent_that_is_talked_over_is_heard_no_more(course: Course) -> None:
    """The loudspeaker leaves the story unfinished; what the terminal says was heard of it is what was heard."""
    story = sound_seconds(course.answers) - spoken_seconds("Goodbye.")
    assert 0.9 < story < spoken_seconds(STORY) - CUT_SHORT
    (heard,) = [what for who, what in course.lines if who == "heard"]
    assert STORY.startswith(heard)
    assert spoken_seconds(heard) == pytest.approx(story, abs=1.0)


def test_both_sides_are_in_the_recording(course: Course) -> None:
    """Left what the microphone heard, right what the loudspeaker was heard to say, the greeting before both."""
    _, left, right = read_tracks(course.record)
    at, until = sounding(left)
    assert sound_seconds(left) == pytest.approx(1.9, abs=0.3)
    half = RATE  # of a second, in bytes
    assert pitch(left[at : at + half]) == pytest.approx(440, abs=5)
    assert pitch(left[until - half : until]) == pytest.approx(600, abs=5)
    assert sound_seconds(right[:at]) == pytest.approx(spoken_seconds(GREETING), abs=0.1)
    assert sound_seconds(right[at:]) == pytest.approx(sound_seconds(course.answers), abs=0.5)


def test_on_a_terminal_the_meters_move_and_the_keyboard_ends_it(room: Room, server: str, folder: Path) -> None:
    """Ctrl-C in the middle of an answer, on a server that was started for it and gets the Ctrl-C, too."""
    began = time.monotonic()
    terminal = Terminal("hasty", "--agents", folder / "agents", "--variable", "name=Ada", **room.names)
    terminal.read_until(GREETING)
    room.listen(began, has_ended(spoken_seconds(GREETING) - 0.15))
    since = time.monotonic()
    room.say(tone(0.7))
    terminal.read_until("This story goes on")
    room.listen(since, has_sounded(1.0))
    terminal.read_until(r"agent\S* +\S*█+\S*░+\S* -\d+ dB")
    terminal.type(CTRL_C)
    assert terminal.end() == 0, terminal.seen[-3000:]
    assert sound_seconds(room.listen(since, is_over)) < spoken_seconds(STORY) - CUT_SHORT
    frames = terminal.frames()
    assert any(re.search(r"microphone\s*█+░+ -\d+ dB", frame) for frame in frames)
    last = " ".join(frames[-1].split())
    assert f"agent {GREETING} user story agent {STORY}" in last
    assert "conv_" in last
    for intruder in ("Traceback", "ALSA", "Expression", "error"):
        assert intruder not in terminal.seen


@pytest.mark.component("pocketsphinx")
@pytest.mark.component("espeak")
@pytest.mark.component("testdata")
def test_spoken_words_are_understood_and_answered_in_words(room: Room, server: str) -> None:
    """With ears and a voice that are real: a recording of "go forward ten meters", and a sentence of speech."""
    agent: dict[str, Any] = document([])
    rules = [{"when": "forward", "say": "I have gone as far as you said."}, {"say": "Where to?"}]
    agent["conversation_config"]["antiphon"] |= {
        "llm": {"engine": "scripted", "rules": rules},
        "stt": {"engine": "pocketsphinx"},
        "tts": {"engine": "espeak"},
    }
    made = httpx.post(f"{server}/v1/convai/agents/create", json=agent, headers={"xi-api-key": KEY}, trust_env=False)
    began = time.monotonic()
    call = Talk(made.json()["agent_id"], "--url", server, **room.names)
    call.read_until("agent", GREETING)
    assert 0.3 < from_first_to_last(room.listen(began, has_ended(0.2))) < 4
    since = time.monotonic()
    room.say(Path("/usr/share/pocketsphinx/test/data/goforward.raw").read_bytes())
    call.read_until("agent", rules[0]["say"])
    assert 1 < from_first_to_last(room.listen(since, has_ended(0.7))) < 8
    call.process.send_signal(signal.SIGTERM)
    assert call.end() == (0, "")
    (said,) = [what for who, what in call.lines if who == "user"]
    assert "forward" in said


# ------------------------------------------------------------------------------------------------------- no device


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--input-device", "the microphone 'nobody' cannot be opened"),
        ("--output-device", "the loudspeaker 'nobody' cannot be opened"),
    ],
)
def test_a_device_that_is_not_there_is_named(room: Room, server: str, option: str, sentence: str) -> None:
    """In one sentence, with what to do about it."""
    ran = talk("hasty", "--url", server, "--variable", "name=Ada", option, "nobody", **room.names)
    assert ran.returncode == 1
    assert sentence in ran.stderr
    assert "--list-devices" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr


def test_that_there_is_no_device_at_all_is_said(room: Room, server: str) -> None:
    """Rather than what PortAudio calls the device that it has not got; the list of devices says so, too."""
    nowhere = room.names | {"PULSE_SERVER": "unix:/nowhere"}
    ran = talk("hasty", "--url", server, "--variable", "name=Ada", **nowhere)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert "there is no sound device. Use --wav" in ran.stderr
    assert talk("--list-devices", **nowhere).stdout == "there are no sound devices\n"


def test_devices_are_listed(room: Room) -> None:
    """Those of the sound server, by the names that the options take."""
    ran = talk("--list-devices", **room.names)
    assert "pulse" in ran.stdout
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_device_that_is_lost_ends_the_conversation(server: str, tmp_path: Path) -> None:
    """Exit code 1 and one sentence, not silence on both sides; what was said until then is kept."""
    record = tmp_path / "both.wav"
    with (
        SoundServer() as doomed,
        subprocess.Popen(["pactl", "subscribe"], stdout=subprocess.PIPE, text=True, env=doomed.environment) as opened,
    ):
        call = Talk("hasty", "--url", server, "--record", record, **names(doomed))
        call.read_until("agent", GREETING)
        assert opened.stdout is not None
        assert any("'new' on source-output" in line for line in opened.stdout), "the microphone is being opened"
        opened.terminate()
        say(tone(3.0), doomed)
        call.read_until("user", "story")  # both devices work
    exit_code, errors = call.end()
    assert exit_code == 1
    assert re.fullmatch(r"antiphon: the (microphone|loudspeaker) is gone\. Use --wav .*\n", errors), errors
    assert call.lines[-1][0] == "ended"
    assert record.exists()
