"""The speech recogniser as a program: PocketSphinx behind two pipes.

    python -m antiphon.engines.stt.worker

It is a program and not a thread because PocketSphinx holds the interpreter's lock while it decodes (observed: one call
of 3.8 s). One worker serves any number of streams, one after another; a stream is one caller: a decoder of its own,
whose estimate of the channel (the cepstral mean) is carried from utterance to utterance.

Messages in both directions are a header, `kind` (one letter), `stream` and `length` of the payload, and the payload.
In: `o`pen (JSON: the fields of Stream), `a`udio (s16le, 16 kHz), `i`nterjection (the utterance under way is spoken over
the agent), `f`inish, `d`iscard, `c`lose. Out: `r`eady,
`p`artial (text), `t`ranscript (JSON: text, mean), `e`rror (text). Nothing of the server is imported here.
"""

from __future__ import annotations

import json
import struct
import sys
from typing import Any, BinaryIO

HEADER = struct.Struct(">cII")
RATE = 16_000
STARTING_MEAN = "40,3,-1"
"Cepstral mean of a caller of whom nothing is known (PocketSphinx's own advice)."
SETTLED = 2.5
"Seconds of speech after which the carried mean is good; until then utterances are decoded again with their own."
PARTIAL_EVERY = 0.1
"Seconds of audio between two looks at what was understood so far."
LONGEST = 60.0
"Seconds of one utterance that are decoded; what comes after is ignored."


INTERJECTION = 2.0
"Seconds of an utterance, with the quiet around it, up to which what is said over the agent is likely an interjection."
LANGUAGE_WEIGHT = 9.0
"How much the language model counts against the sound (measured on the demo's callers: 8 to 9 is best)."

INTERJECTIONS = "interjections"
"Name of the search with their model."

_general_decoders: dict[tuple[str, str], Any] = {}


def send(out: BinaryIO, kind: bytes, stream: int, payload: bytes = b"") -> None:
    """One message to the parent."""
    out.write(HEADER.pack(kind, stream, len(payload)) + payload)
    out.flush()


def decoder(lm: str, dictionary: str) -> Any:
    """A decoder without the slow second pass, which gains nothing here (measured: speech.md 3)."""
    import pocketsphinx

    package: Any = pocketsphinx  # it has no types
    return package.Decoder(lm=lm, dict=dictionary, fwdflat=False, lw=LANGUAGE_WEIGHT, loglevel="FATAL")


class Stream:
    """One caller.

    `sure`: posterior probability of an utterance's best reading below which it is not believed. `general`: lm,
    dictionary and sure of the large model that is asked then; None: nobody is. `interjections`: the model of what is
    said over the agent, backchannels above all, with words of the same dictionary; empty: there is none.
    """

    def __init__(
        self,
        lm: str,
        dictionary: str,
        sure: float,
        general: dict[str, Any] | None = None,
        mean: str = "",
        interjections: str = "",
    ) -> None:
        self._sure = sure
        self._general = general
        self._decoder = decoder(lm, dictionary)
        self._decoder.set_cmn(mean or STARTING_MEAN)
        self._interjections = interjections
        if interjections:
            self._callers = self._decoder.current_search()
            self._decoder.add_lm_file(INTERJECTIONS, interjections)
        self._over_agent = False
        self._heard = 0.0 if not mean else SETTLED
        "Seconds of speech that the mean is estimated from."
        self._audio = bytearray()
        self._decoding = False
        self._partial = ""
        self._looked_at = 0

    def feed(self, audio: bytes) -> str | None:
        """More of the utterance; what is understood so far, if that is news."""
        if len(self._audio) > LONGEST * RATE * 2:
            return None
        if not self._decoding:
            self._decoder.start_utt()
            self._decoding = True
        self._audio += audio
        self._decoder.process_raw(bytes(audio), False, False)
        if len(self._audio) - self._looked_at < PARTIAL_EVERY * RATE * 2:
            return None
        self._looked_at = len(self._audio)
        text = self._text()
        if text == self._partial:
            return None
        self._partial = text
        return text

    def over_agent(self) -> None:
        """The utterance under way is spoken over the agent: decode it from its beginning as an interjection."""
        if not self._interjections or self._over_agent:
            return
        self._over_agent = True
        if self._decoding:
            self._decoder.end_utt()
        self._decoder.activate_search(INTERJECTIONS)
        if self._decoding:
            self._decode_again(own_mean=False)

    def finish(self) -> tuple[str, str]:
        """The utterance's text, and the mean to go on with."""
        if not self._decoding:
            return "", self._decoder.get_cmn(False)
        self._decoder.end_utt()
        seconds = len(self._audio) / (RATE * 2)
        long = self._over_agent and seconds > INTERJECTION
        if long:
            self._decoder.activate_search(self._callers)
        unknown = self._heard < SETTLED
        if long or unknown:
            self._decode_again(own_mean=unknown)
            self._decoder.end_utt()
            if unknown:
                self._decoder.set_cmn(self._decoder.get_cmn(False))
        text, mean = self._believed(self._decoder, self._sure), self._decoder.get_cmn(True)
        if not text and self._general is not None:
            text = self._ask_general(self._general, mean)
        self._heard += seconds
        self._forget()
        return text, mean

    def _believed(self, decoder: Any, sure: float) -> str:
        hypothesis = decoder.hyp()
        return "" if hypothesis is None or hypothesis.prob < sure else hypothesis.hypstr

    def _ask_general(self, general: dict[str, Any], mean: str) -> str:
        """What the large model makes of it; loaded when first needed, one for all streams."""
        key = (general["lm"], general["dictionary"])
        if key not in _general_decoders:
            _general_decoders[key] = decoder(*key)
        large = _general_decoders[key]
        large.set_cmn(mean)
        large.start_utt()
        large.process_raw(bytes(self._audio), False, False)
        large.end_utt()
        return self._believed(large, general["sure"])

    def _decode_again(self, *, own_mean: bool) -> None:
        """From its beginning. `own_mean`: nothing was known of this caller's channel, and now it tells itself."""
        self._decoder.start_utt()
        self._decoder.process_raw(bytes(self._audio), False, own_mean)

    def discard(self) -> None:
        """Forget what was fed."""
        if self._decoding:
            self._decoder.end_utt()
        self._forget()

    def _forget(self) -> None:
        self._audio.clear()
        self._decoding, self._partial, self._looked_at = False, "", 0
        if self._over_agent:
            self._over_agent = False
            self._decoder.activate_search(self._callers)

    def _text(self) -> str:
        hypothesis = self._decoder.hyp()
        return "" if hypothesis is None else hypothesis.hypstr


def serve(source: BinaryIO, out: BinaryIO) -> None:
    """Answer messages until the parent closes the pipe."""
    streams: dict[int, Stream] = {}
    send(out, b"r", 0)
    while header := source.read(HEADER.size):
        if len(header) < HEADER.size:
            return
        kind, number, length = HEADER.unpack(header)
        payload = source.read(length)
        try:
            _answer(streams, kind, number, payload, out)
        except Exception as error:  # noqa: BLE001 - the door of this program: whatever it is, the parent is told
            send(out, b"e", number, f"{type(error).__name__}: {error}".encode())


def _answer(streams: dict[int, Stream], kind: bytes, number: int, payload: bytes, out: BinaryIO) -> None:
    if kind == b"o":
        streams[number] = Stream(**json.loads(payload))
    elif kind == b"c":
        streams.pop(number, None)
    elif kind == b"a":
        partial = streams[number].feed(payload)
        if partial is not None:
            send(out, b"p", number, partial.encode())
    elif kind == b"i":
        streams[number].over_agent()
    elif kind == b"f":
        text, mean = streams[number].finish()
        send(out, b"t", number, json.dumps({"text": text, "mean": mean}).encode())
    elif kind == b"d":
        streams[number].discard()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
