# SPDX-License-Identifier: Apache-2.0
"""Speaks text with eSpeak NG: a program of its own, which talks to its parent over stdin and stdout.

    python -I -S espeak_program.py LIBRARY [DATA]

This file is Apache-2.0 like the rest. While it runs it loads libespeak-ng, which is GPL-3.0-or-later; that is why it is
a program and not a module. The server never imports it, and it imports nothing but a little of the standard library, so
that it is ready in a moment.

It is a *zygote*: it initialises the library once and then forks for every request. The library keeps state in static
variables that no call resets (the gain control, the phase of the voice's flutter), so the same text sounds a little
different each time; a fork starts from the same state always, and the same text gives the same bytes. Besides, requests
run side by side, an abort is a kill, and text that crashes the library takes nothing else with it.

Frames, both ways: length of the payload (u32), kind (one ASCII letter), number of the request (u32), payload; little
endian. From the parent:

    S   speak. A line of tab-separated fields `voice`, `rate` (words a minute), `pitch` (0 to 99), `pause` (samples kept
        after the last sound), then the text; UTF-8
    A   abort. No payload; what was sent before it may still come. A request that is done is aborted without harm
    V   which voices are there?

To the parent; frames of several requests come interleaved, those of one in order:

    D   audio: s16le mono. No frame is longer than PIPE_BUF, because only such writes are atomic
    W   the audio since the last W is complete: the sound of the text up to, not including, `until` (u32, in
        characters); its first `voiced` (u32) samples sound, the rest is a pause
    V   one fact of the answer: `version ...`, `rate ...` (samples a second), `voice ...`, `variant ...`
    E   the request is done
    F   the request failed; or, as number 0, the program cannot run. UTF-8, for people

The first sample of a request is sound, whatever silence the library begins with. It ends at the end of stdin.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import struct
import sys
from array import array
from collections import deque

TYPE_CHECKING = False  # `typing` takes longer to import than all of the above
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Listener = Callable[["array[int]", list[tuple[int, int]]], None]

HEADER = struct.Struct("<IcI")
WORD = struct.Struct("<II")
SLICE = (select.PIPE_BUF - HEADER.size) // 2
"Samples of the longest D frame."

SOUND = 384
"Magnitude above which a sample is sound: 33 dB below the loudest, louder than the noise of the breathy voices' pauses."
LOUDEST = 14_000
"""Magnitude that counting to nine peaks at, after normalisation: -7 dBFS. Speech stays within 3 dB of it (measured: 104
variants, 12 languages), but for the klatt voices, which have peaks of twice that."""
COUNTING = b"1 2 3 4 5 6 7 8 9"
"Text that every language can say."
MEASURED_AT = 25
"espeakVOLUME for measuring a voice: low enough that none clips."

CHILDREN = 32
"Requests that run at a time; the others wait."
POLITENESS = 10
"How much a request that has said its first word makes way for those that have not (nice)."
BUFFER_MS = 60

# Of espeak-ng/speak_lib.h, 1.52.
SYNCHRONOUS = 2
DONT_EXIT = 0x8000
POSITION_IS_CHARACTER = 1
UTF8 = 1
END_PAUSE = 0x1000
EVENT_LIST_ENDS, EVENT_WORD = 0, 1
RATE, VOLUME, PITCH = 1, 2, 3


class Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_void_p),
    )


class Voice(ctypes.Structure):
    """espeak_VOICE."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))


class Espeak:
    """The library. Its state is the process's: one text at a time."""

    def __init__(self, library: str, data: bytes | None) -> None:
        """Raises OSError where it cannot be loaded or finds no data, AttributeError where it is another library."""
        self._library = ctypes.CDLL(library)
        self._library.espeak_Info.restype = ctypes.c_char_p
        self._library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(Voice))
        self._library.espeak_Synth.argtypes = (
            *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
            *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
        )
        self.sample_rate = self._library.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data, DONT_EXIT)
        if self.sample_rate <= 0:
            raise OSError(f"eSpeak NG finds no voice data in {data!r}")
        self.voices = self._list(None)
        self.variants = self._list(ctypes.byref(Voice(languages=b"variant")))
        self.version = self._library.espeak_Info(None).decode().split()[0]
        # Random numbers make the breath of some voices. Before 1.52 they could not be seeded, nor did they vary.
        if hasattr(self._library, "espeak_ng_SetRandSeed"):
            self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._callback: Any = None

    def _list(self, kind: Any) -> list[str]:
        """Names that `load` takes: the last part of each voice's path."""
        found = self._library.espeak_ListVoices(kind)
        names: list[str] = []
        while found[len(names)]:
            names.append(found[len(names)].contents.identifier.decode().rpartition("/")[2])
        return names

    def load(self, voice: str) -> bool:
        """Whether there is such a voice; it speaks from now on. An unknown variant is not noticed."""
        return self._library.espeak_SetVoiceByName(voice.encode()) == 0

    def say(self, text: bytes, rate: int, pitch: int, volume: int, listener: Listener) -> None:
        """Call `listener(samples, [(character, sample), ...])` for every buffer: where which word of `text` begins."""
        for parameter, value in ((RATE, rate), (PITCH, pitch), (VOLUME, volume)):
            self._library.espeak_SetParameter(parameter, value, 0)
        failure: list[OSError] = []

        def listen(audio: Any, count: int, events: Any) -> int:
            if not audio or not count:
                return 0
            samples = array("h", ctypes.string_at(audio, 2 * count))
            words: list[tuple[int, int]] = []
            index = 0
            while events[index].type != EVENT_LIST_ENDS:
                if events[index].type == EVENT_WORD:
                    words.append((events[index].text_position - 1, events[index].sample))
                index += 1
            try:
                listener(samples, words)
            except OSError as error:  # an exception cannot pass through the library
                failure.append(error)
                return 1
            return 0

        self._callback = SynthCallback(listen)
        self._library.espeak_SetSynthCallback(self._callback)
        text += b"\0"
        self._library.espeak_Synth(text, len(text), 0, POSITION_IS_CHARACTER, 0, UTF8 | END_PAUSE, None, None)
        if failure:
            raise failure[0]


class Words:
    """The library's buffers -> words: `send(samples, until, voiced)` for each, with no silence before the first.

    The library's word events are in order for plain prose. For numbers, foreign scripts and symbols they come more than
    once, go back, or lie behind the text: a word begins only where an event is further in the text than all before it,
    and further in the sound.
    """

    def __init__(self, length: int, pause: int, send: Callable[[array[int], int, int], None]) -> None:
        self._length = length
        self._pause = pause
        self._send = send
        self._word = array("h")
        self._furthest = 0
        self._made = 0
        self._heard = False

    def take(self, samples: array[int], words: list[tuple[int, int]]) -> None:
        """The next buffer, and the (character, sample) of the words that begin in it."""
        done = 0
        for character, sample in words:
            at = min(max(sample - self._made, done), len(samples))
            self._append(samples[done:at])
            done = at
            if self._furthest < character < self._length:
                self._furthest = character
                if self._word:
                    self._send(self._word, character, last_sound(self._word))
                    self._word = array("h")
        self._append(samples[done:])
        self._made += len(samples)

    def finish(self) -> None:
        """No more buffers: the last word, without the silence after its pause."""
        voiced = last_sound(self._word)
        if self._word:
            self._send(self._word[: voiced + self._pause], self._length, voiced)

    def _append(self, samples: array[int]) -> None:
        if not self._heard:
            begin = first_sound(samples)
            self._heard = begin < len(samples)
            samples = samples[begin:]
        self._word += samples


def first_sound(samples: array[int]) -> int:
    """Index of the first sample that is sound; their number where none is."""
    return next((i for i, sample in enumerate(samples) if not -SOUND <= sample <= SOUND), len(samples))


def last_sound(samples: array[int]) -> int:
    """One past the last sample that is sound; 0 where none is."""
    return next((i + 1 for i in range(len(samples) - 1, -1, -1) if not -SOUND <= samples[i] <= SOUND), 0)


def put(kind: bytes, number: int, payload: bytes = b"") -> None:
    """One frame to the parent."""
    frame = HEADER.pack(len(payload), kind, number) + payload
    while frame:
        frame = frame[os.write(1, frame) :]


class Program:
    """Requests in, a forked child for each."""

    def __init__(self, espeak: Espeak) -> None:
        self._espeak = espeak
        self._incoming = bytearray()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._children: dict[int, tuple[int, int]] = {}
        "End of a pipe that closes when the child ends -> number of its request, process id."
        self._voice: str | None = None
        self._volumes: dict[str, int] = {}

    def serve(self) -> None:
        """Until the end of stdin; then the children end too."""
        while True:
            ready, _, _ = select.select([0, *self._children], [], [])
            for end in ready:
                if end:
                    self._reap(end)
            if 0 in ready:
                received = os.read(0, 65_536)
                if not received:
                    break
                self._receive(received)
            while self._waiting and len(self._children) < CHILDREN:
                self._speak(*self._waiting.popleft())
        for _, child in self._children.values():
            os.kill(child, signal.SIGKILL)

    def _receive(self, received: bytes) -> None:
        self._incoming += received
        while len(self._incoming) >= HEADER.size:
            length, kind, number = HEADER.unpack_from(self._incoming)
            end = HEADER.size + length
            if len(self._incoming) < end:
                break
            payload = bytes(self._incoming[HEADER.size : end])
            del self._incoming[:end]
            if kind == b"S":
                self._waiting.append((number, payload))
            elif kind == b"A":
                self._abort(number)
            elif kind == b"V":
                self._list(number)

    def _list(self, number: int) -> None:
        facts = [f"version {self._espeak.version}", f"rate {self._espeak.sample_rate}"]
        facts += [f"voice {name}" for name in self._espeak.voices]
        facts += [f"variant {name}" for name in self._espeak.variants]
        for fact in facts:
            put(b"V", number, fact.encode())
        put(b"E", number)

    def _abort(self, number: int) -> None:
        self._waiting = deque(request for request in self._waiting if request[0] != number)
        for end, (other, child) in self._children.items():
            if other == number:
                self._children[end] = (0, child)
                os.kill(child, signal.SIGKILL)

    def _speak(self, number: int, payload: bytes) -> None:
        line, _, text = payload.partition(b"\n")
        voice, rate, pitch, pause = line.decode().split("\t")
        # Loaded here and not in the child: the next request with this voice finds it loaded.
        if voice != self._voice:
            self._voice = voice if self._espeak.load(voice) else None
        if self._voice is None:
            put(b"F", number, f"eSpeak NG has no voice {voice!r}".encode())
            return
        volume = self._volume(voice)
        end, child = fork(lambda _: self._say(number, text, int(rate), int(pitch), volume, int(pause)))
        self._children[end] = (number, child)

    def _say(self, number: int, text: bytes, rate: int, pitch: int, volume: int, pause: int) -> None:
        begun = False

        def send(samples: array[int], until: int, voiced: int) -> None:
            nonlocal begun
            for begin in range(0, len(samples), SLICE):
                put(b"D", number, samples[begin : begin + SLICE].tobytes())
            put(b"W", number, WORD.pack(until, voiced))
            if not begun:
                begun = True
                os.nice(POLITENESS)

        words = Words(len(text.decode()), pause, send)
        self._espeak.say(text, rate, pitch, volume, words.take)
        words.finish()
        put(b"E", number)

    def _volume(self, voice: str) -> int:
        """espeakVOLUME at which this voice is as loud as the others; measured once, in a child like everything else."""
        if voice not in self._volumes:
            end, child = fork(self._measure)
            answer = os.read(end, 16)
            os.close(end)
            os.waitpid(child, 0)
            peak = int(answer or 0)
            self._volumes[voice] = max(1, min(200, MEASURED_AT * LOUDEST // peak if peak else 100))
        return self._volumes[voice]

    def _measure(self, end: int) -> None:
        peaks = [0]

        def listen(samples: array[int], _: list[tuple[int, int]]) -> None:
            peaks.append(max(max(samples), -min(samples)))

        self._espeak.say(COUNTING, 175, 50, MEASURED_AT, listen)
        os.write(end, str(max(peaks)).encode())

    def _reap(self, end: int) -> None:
        number, child = self._children.pop(end)
        os.close(end)
        _, status = os.waitpid(child, 0)
        if status and number:
            code = os.waitstatus_to_exitcode(status)
            put(b"F", number, f"eSpeak NG ended with {code} on this text".encode())


def fork(work: Callable[[int], None]) -> tuple[int, int]:
    """Run `work(end)` in a child. Returns the other end of that pipe, which closes with the child, and its id."""
    end, childs_end = os.pipe()
    child = os.fork()
    if child:
        os.close(childs_end)
        return end, child
    status = 1
    try:
        os.close(0)  # or the parent would not notice that the program has ended
        work(childs_end)
        status = 0
    except BrokenPipeError:
        pass  # nobody listens any more
    except Exception as error:  # noqa: BLE001 - the last door of this process
        sys.excepthook(type(error), error, error.__traceback__)
    os._exit(status)


def main() -> None:
    """See the top of this file."""
    library, data = sys.argv[1], sys.argv[2].encode() if len(sys.argv) > 2 else None
    try:
        espeak = Espeak(library, data)
    except (OSError, AttributeError) as error:
        put(b"F", 0, str(error).encode())
        return
    gc.freeze()  # the children share these pages as long as nobody touches them
    try:
        Program(espeak).serve()
    except BrokenPipeError:
        return  # the parent has gone


if __name__ == "__main__":
    main()
