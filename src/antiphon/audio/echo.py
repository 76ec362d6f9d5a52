"""Tells the agent's own voice, come back through the caller's microphone, from the caller's.

    gate.sent(audio, at)            each piece of the agent's sound, and when it begins to sound
    score *= 1 - gate.echo(frame, now)

Theory of operation. Both sounds are reduced to the levels of a few bands, in decibels, 62 (sent) and 31 (heard) times a
second; no sample is compared with a sample, so neither clocks that drift, nor codecs, nor a jittery estimate of when
something sounded matter. Three questions are answered from these levels:

- *How late* is what was sent heard? The rises and falls of both are correlated at every lag up to LAGS; a clear peak is
  the lag (`lag`). It is followed through the call.
- *How loud* may it be? A band's gain is a high quantile of heard less sent at that lag. What was sent is held and falls
  by DECAY only, as a room holds sound: that predicts the tail.
- *Is a frame louder* than the prediction? The excess over it, summed over bands and gathered over frames, is the
  evidence that somebody else speaks. Enough of it opens the gate, which stays open until the excess has been small for
  HOLD.

Until the lag is known, whatever could be the loudest plausible echo at any lag is taken for echo. Where much was sent
and nothing was heard, there is no echo path (a headset): the gate is open until a correlation shows up.

Limits: an echo later than LAGS by the times given is not recognised, nor one that hardly stands out of the noise. What
benchmarks/echo.py measures holds for a microphone's noise, not for a loud place.
"""

from __future__ import annotations

import math
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

from .arrays import load_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Levels = NDArray[np.float32]

RATE = 16_000
FRAME = 512
"Samples of a frame of the microphone, and of the window from which levels are taken."
FRAME_SECONDS = FRAME / RATE
HOP = 256
"Samples from one row of the sent sound's levels to the next."
EDGES = (6, 10, 14, 19, 25, 32, 41, 52, 66, 84, 107, 137, 174, 222)
"First line of each band in a spectrum of 31.25 Hz a line, and the end of the last: 190 to 6,940 Hz."
BANDS = len(EDGES) - 1
LAGS = 50
"Rows by which the echo may be late: 0.8 s."
BATCH = 12
"Rows taken together: one transform of many windows costs little more than one of one."
ROWS = 512
"Rows of the sent sound that are kept: 8 s, most of them for what is sent ahead. 80 KiB."
STEP = 4
"Rows over which a rise or fall is taken: 64 ms."
RANGE = 30.0
"Decibels below the loudest band sent that still count as sound."
DECAY = 2.0
"Decibels by which a held level falls from one row to the next: a room that takes 0.48 s to fall by 60."
TAIL = 20
"Rows after the last sound has come back in which the room may still hold it."
LOUDEST_ECHO = 0.0
"Gain of a band, dB, before anything is known."
MEMORY = 0.98
"What a frame leaves of the correlation so far: 1.6 s."
CLEAR_PEAK = 0.5
"Correlation at a lag from which the lag is believed."
ENOUGH = 25_000.0
"Rises and falls, dB squared, that must have been heard for a correlation to mean something."
EARLY, LATE = 3, 1
"Rows by which the echo may come earlier or later than the lag says..."
UNSURE = 3
"...and how many more while a reply is new: when it began to sound was estimated anew."
NEW = 40
"Rows for which a reply is new."
PAUSE = 20
"Rows without anything sent after which a reply is new."
NOISE_RISES, NOISE_FALLS = 0.06, 1.0
"Decibels by which the noise is taken to be louder or softer after a frame: it is the softest twentieth."
LOUDEST_NOISE = 20.0
"What a band's noise is taken to be at first, if the caller is loud."
ABOVE_NOISE = 10.0
"A band sounds from here on, dB over the softest it has been."
UP, DOWN = 0.3, 0.1
"Decibels by which a gain follows a frame that is louder or softer than it says: it is an upper quartile."
HURRY, HURRIED = 8.0, 56
"How much faster at first, and the frames until then."
MARGIN = 4.0
"Decibels over the prediction that are not evidence yet."
MOST = 12.0
"Decibels beyond it that count at most, in one band."
AT_ONCE = 1.5
"Decibels of excess, mean over bands, that count at most in one frame: one alone says nothing."
SPEAKS = 3.5
"Evidence that opens the gate: decibels of excess, mean over bands, gathered over frames."
FADES = 0.8
"What a frame leaves of it."
SOFT = 0.5
"Excess below which a frame is calm, once the gate is open."
HOLD = 8
"Calm frames that close it."
UNANSWERED = 16
"Silent frames, while sound was to be heard at every lag, that show that there is no echo path..."
ANSWER = 4
"...bands that must sound for a frame not to be silent, and the silent frames that each such frame outweighs."
OFF = 32
"Rows without a frame that show that the microphone was off: 0.5 s."
LONG_OVER = 2.5
"Seconds after the last sound at which no echo of it can come, whatever the frame's clock says."
JUST_OVER = 0.3
"The same where no echo has ever come: looking for one while the agent speaks is enough."
UNLIKELY = 0.3
"Score of a frame that nobody will take for speech."
WAITING = 256
"Pieces sent that may wait: more than are sent ahead."
MUCH = 0.4
"Part of the lags at which there must have been sound."
EACH = 12
"Silent frames that rule out a lag, each with sound to be heard at it: no path is left when every lag is ruled out."


class EchoGate:
    """One caller's microphone and what it may pick up of the agent. Times are seconds on one clock."""

    def __init__(self) -> None:
        np = load_numpy()
        self.lag: int | None = None
        "Rows of HOP by which the echo is late, as the times given tell it; None: not known yet."
        self._open = False
        "Somebody else speaks."
        self._evidence = 0.0
        self._calm = 0
        "Frames since the excess was large."
        self._no_path = False
        "Much was sent, and nothing came back."
        self._unanswered = 0
        self._ruled_out = np.zeros(LAGS - EARLY - 1, np.float32)
        "Silent frames that speak against each lag."
        self._base = 0
        "Row number of what is first in the tables below."
        self._written = -1
        "Number of the newest row in them."
        self._sounds_until: int | None = None
        "Sample after the last one sent, on the clock times RATE."
        self._began = 0
        "Row with which the newest reply begins."
        self._waiting: deque[tuple[bytes, float]] = deque(maxlen=WAITING)
        "Pieces sent that nobody has looked at."
        self._waits_until = 0
        "Sample after the last of them."
        self._seen = False
        "The microphone has been heard."
        self._spurt = False
        "The microphone was switched on while the agent spoke: by somebody who has something to say."
        self._rest = np.zeros(0, np.float32)
        "Samples sent that wait for their window to fill."
        self._raw = np.zeros((ROWS, BANDS), np.float32)
        self._held = np.zeros((ROWS, BANDS), np.float32)
        self._change = np.zeros((ROWS, BANDS), np.float32)
        self._change_power = np.zeros(ROWS, np.float32)
        self._tables = (self._raw, self._held, self._change, self._change_power)
        self._loudest = 0.0
        self._noise = np.full(BANDS, math.inf, np.float32)
        "The softest that each band has lately been; inf: nothing was heard yet."
        self._gain = np.full(BANDS, LOUDEST_ECHO, np.float32)
        self._learned = 0
        "Frames from which the gains have been learned."
        self._heard: deque[tuple[int, Levels]] = deque(maxlen=48)
        "Row and levels of the newest frames that were not the caller's."
        self._floored: deque[Levels] = deque(maxlen=3)
        self._common = np.zeros(LAGS - EARLY, np.float32)
        self._sent_power = np.zeros(LAGS - EARLY, np.float32)
        self._heard_power = 0.0
        self._clock = _FrameClock()

    def sent(self, audio: bytes, at: float) -> None:
        """A piece of the agent's sound, s16le mono at 16 kHz, that begins to sound at about `at`.

        A piece that would begin before the one before it has sounded begins after it, as in a player.

        Raises:
            ValueError: half a sample.
        """
        if len(audio) % 2:
            raise ValueError(f"{len(audio)} bytes are not whole samples")
        begin = round(at * RATE)
        until = self._waits_until if self._waiting else self._sounds_until
        self._waits_until = (begin if until is None or begin - until > HOP else until) + len(audio) // 2
        self._waiting.append((audio, at))
        if not self._no_path:
            self._take_in()

    def _take_in(self) -> None:
        """What was sent and not looked at: while nothing comes back there is no need to."""
        np = load_numpy()
        while self._waiting:
            audio, at = self._waiting.popleft()
            samples = np.frombuffer(audio, np.dtype("<i2")).astype(np.float32)
            for begin in range(0, len(samples), RATE):
                self._sent(samples[begin : begin + RATE], at + begin / RATE)

    def _sent(self, samples: NDArray[np.float32], at: float) -> None:
        np = load_numpy()
        begin = round(at * RATE)
        if self._sounds_until is None or begin - self._sounds_until > HOP:
            if self._sounds_until is None or begin - self._sounds_until > PAUSE * HOP:
                self._began = begin // HOP
                self._common *= 0.3
                self._sent_power *= 0.3
                self._heard_power *= 0.3
            self._catch_up()
            self._rest = self._rest[:0]
            self._sounds_until = begin
        self._sounds_until += len(samples)
        self._rest = np.concatenate((self._rest, samples))
        if len(self._rest) >= BATCH * HOP:
            self._catch_up()

    def _catch_up(self) -> None:
        """Take the levels of what was sent, as far as windows are full."""
        count = (len(self._rest) - FRAME) // HOP + 1
        if count > 0 and self._sounds_until is not None:
            np = load_numpy()
            samples, first = self._rest, self._sounds_until - len(self._rest)
            self._rest = samples[count * HOP :]
            step = samples.itemsize
            windows = np.ndarray((count, FRAME), samples.dtype, samples, 0, (step * HOP, step))
            self._write(round(first / HOP), _levels(windows))

    def dropped(self, at: float) -> None:
        """What was to sound from `at` on has been thrown away by the client."""
        self._take_in()
        if self._sounds_until is None or round(at * RATE) >= self._sounds_until:
            return
        self._catch_up()
        self._sounds_until = round(at * RATE)
        self._rest = self._rest[:0]
        self._written = min(self._written, max(self._sounds_until // HOP, self._base + STEP))
        for table in self._tables:
            table[self._written + 1 - self._base :] = 0.0

    def expects(self, at: float, frames: int) -> bool:
        """Whether anything that was sent may be heard at `at`. If not, the next `frames` need not be shown."""
        until = self._waits_until if self._waiting else self._sounds_until
        if until is not None and at <= until / RATE + (JUST_OVER if self._no_path else LONG_OVER):
            return True
        self._forget()
        self._clock.pass_over(at, frames)
        return False

    def echo(self, frame: bytes, at: float, score: float = 1.0) -> float:
        """How far a frame of the microphone, FRAME samples s16le at 16 kHz, is explained by what was sent: 0 to 1.

        `at`: when the frame had arrived; many frames that arrive in one piece may bear the same time. Every frame must
        be shown, in order. `score`: how much the frame sounds like speech. What does not is nobody's speech, and once
        the gate knows what comes back, and how late, it need not look at it.

        Raises:
            ValueError: the frame has another length.
        """
        if len(frame) != 2 * FRAME:
            raise ValueError(f"a frame of {len(frame)} bytes came in where {2 * FRAME} are one frame")
        until = self._waits_until if self._waiting else self._sounds_until
        if until is None or at > until / RATE + (JUST_OVER if self._no_path else LONG_OVER):
            self._forget()
            self._clock.pass_over(at, 1)
            return 0.0
        if score < UNLIKELY and (self._no_path or self.lag is not None):
            self._pass_over()
            self._clock.pass_over(at, 1)
            return 0.0
        before, row = self._clock.newest, self._clock.row(at)
        if row - before > OFF and (self._seen or row - self._began > OFF):
            self._spurt = True
        elif self._spurt and self.lag is not None:
            self._spurt = False
        self._seen = True
        if row > until // HOP + (LAGS if self.lag is None else self.lag) + TAIL:
            self._forget()
            return 0.0
        self._take_in()
        np = load_numpy()
        if row < self._base + LAGS + STEP:  # long ago, or long before what was sent
            return 0.0
        if self._written < row - EARLY:
            self._catch_up()
            if self._written < row - EARLY:
                self._write(row + BATCH, np.zeros((1, BANDS), np.float32))
            if row < self._base + LAGS + STEP:
                return 0.0
        levels = _levels(np.frombuffer(frame, np.dtype("<i2")).astype(np.float32)[None])[0]
        if self._noise[0] == math.inf:
            self._noise = np.minimum(levels, LOUDEST_NOISE)
        self._noise += np.where(levels > self._noise, NOISE_RISES, -NOISE_FALLS)
        sounds = levels > self._noise + ABOVE_NOISE
        if not self._open:
            self._correlate(row, levels)
        first = row - self._base
        if self.lag is None:
            held = np.maximum.reduce(self._held[first - LAGS + 1 : first + 1], axis=0)
            self._look_for_no_path(first, int(np.count_nonzero(sounds)))
        else:
            held = self._loudest_around(first - self.lag)
        predicted = held + self._gain
        if self.lag is not None and row - self.lag - self._began < NEW:
            predicted = self._loudest_around(first - self.lag, UNSURE) + self._gain
        excess = np.minimum(np.maximum(levels - predicted - MARGIN, 0.0), MOST)
        amount = float(excess.dot(sounds)) / BANDS
        self._weigh(amount)
        if self.lag is not None and not self._open:
            self._learn(levels - held, held)
        return 0.0 if self._open or self._no_path or self._spurt else 1.0

    def _forget(self) -> None:
        """Nothing that was sent can be heard any more."""
        self._seen = True
        self._open, self._spurt, self._evidence = False, False, 0.0
        self._heard.clear()
        self._floored.clear()
        if self._waiting:
            self._waiting.clear()
            self._sounds_until = self._waits_until

    def _pass_over(self) -> None:
        """A frame of nobody's speech."""
        self._evidence *= FADES
        if self._open:
            self._calm += 1
            if self._calm >= HOLD:
                self._open, self._evidence = False, 0.0

    def _loudest_around(self, first: int, unsure: int = 0) -> Levels:
        """What is heard of what was sent, by the table's row `first`; no gain yet."""
        first = min(first, ROWS - 1)  # what comes after the newest row is not sent yet
        rows = self._held[max(0, first - LATE - unsure) : first + EARLY + unsure + 1]
        return load_numpy().maximum.reduce(rows, axis=0)

    def _weigh(self, amount: float) -> None:
        """Gather evidence that somebody else speaks."""
        if self._open:
            self._calm = 0 if amount > SOFT else self._calm + 1
            if self._calm >= HOLD:
                self._open, self._evidence = False, 0.0
            return
        self._evidence = FADES * self._evidence + min(amount, AT_ONCE)
        if self._evidence > SPEAKS:
            self._open, self._calm = True, 0
            self._floored.clear()

    def _learn(self, over: Levels, held: Levels) -> None:
        """Follow a high quantile of heard less sent, in the bands in which something was sent."""
        np = load_numpy()
        self._learned += 1
        speed = max(1.0, HURRY * (1 - self._learned / HURRIED))
        step = np.where(over > self._gain, UP * speed, -DOWN * speed)
        self._gain += np.where(held > self._loudest - RANGE, step, 0.0).astype(np.float32)

    def _look_for_no_path(self, first: int, sounding: int) -> None:
        """Count silent frames in which something was to be heard, however late."""
        np = load_numpy()
        loud = self._raw[first - LAGS + 1 : first - EARLY].max(axis=1) > self._loudest - RANGE / 2
        if sounding >= ANSWER:
            self._unanswered = max(0, self._unanswered - ANSWER)
            self._ruled_out = np.maximum(self._ruled_out - ANSWER * loud, 0.0)
        else:
            self._unanswered += float(loud.mean()) > MUCH
            self._ruled_out += loud
        if self._unanswered >= UNANSWERED or float(self._ruled_out.min()) >= EACH:
            self._no_path = True

    def _correlate(self, row: int, levels: Levels) -> None:
        """Compare this frame's rises and falls with what was sent, at every lag; set the lag where it is clear."""
        np = load_numpy()
        self._floored.append(np.maximum(levels, self._noise + ABOVE_NOISE / 2))
        if self.lag is None:
            self._heard.append((row, levels))
        elif row & 2:
            return  # it only drifts
        if len(self._floored) < 3:
            return
        change = self._floored[2] - self._floored[0]
        power = float(change.dot(change))
        rows = slice(row - self._base - LAGS + 1, row - self._base - EARLY + 1)
        memory = MEMORY if self.lag is None else MEMORY * MEMORY
        self._common *= memory
        self._sent_power *= memory
        self._sent_power += self._change_power[rows]
        self._heard_power = self._heard_power * memory + power
        if power:
            self._common += self._change[rows] @ change
        if self._heard_power < (ENOUGH if self.lag is None else ENOUGH / 2):
            return
        peaks = self._common / np.sqrt(self._sent_power * self._heard_power + ENOUGH)
        best = int(peaks.argmax())
        lag = LAGS - 1 - best
        if lag == self.lag or float(peaks[best]) < CLEAR_PEAK:
            return
        if self.lag is None:
            self.lag, self._no_path = lag, False
            self._measure()
        elif abs(lag - self.lag) == 1 or float(peaks[best]) > float(peaks[LAGS - 1 - self.lag]) + 0.1:
            self.lag = lag

    def _measure(self) -> None:
        """The gain of each band, from what was heard so far."""
        assert self.lag is not None
        np = load_numpy()
        over: list[Levels] = []
        for row, levels in self._heard:
            first = row - self._base - self.lag
            if first < 0:  # what was sent then is not kept any more
                continue
            held = self._loudest_around(first)
            over.append(np.where(held > self._loudest - RANGE, levels - held, np.nan))
        if not over:
            return
        table = np.array(over)
        for band in range(BANDS):
            known = table[:, band][~np.isnan(table[:, band])]
            if len(known) >= 5:
                self._gain[band] = np.quantile(known, 0.85)
            else:
                self._gain[band] = 0.0

    def _write(self, row: int, levels: Levels) -> None:
        """Rows of levels from `row` on; silence up to there; nothing is known behind them any more."""
        np = load_numpy()
        if self._written < 0:
            self._base, self._written = row - LAGS - 2 * STEP, row - 1
        begin = max(min(row, self._written + 1), self._base + STEP)
        stop = row + len(levels)
        if stop - self._base > ROWS:
            self._move(max(self._clock.newest - 2 * LAGS, stop - ROWS, self._base))
            begin = max(begin, self._base + STEP)
        if row < begin:  # long ago
            levels, row = levels[begin - row :], begin
            if not len(levels):
                return
        first, at, last = begin - self._base, row - self._base, stop - self._base
        self._raw[first:at] = 0.0
        self._raw[at:last] = levels
        raw = self._raw[first:last]
        self._loudest = max(self._loudest - 0.02 * len(levels), float(levels.max()))
        falls = DECAY * np.arange(len(raw) + 1, dtype=np.float32)[:, None]
        held = np.concatenate((self._held[first - 1 : first], raw)) + falls
        self._held[first:last] = (np.maximum.accumulate(held, axis=0) - falls)[1:]
        floor = self._loudest - RANGE
        change = np.maximum(raw, floor) - np.maximum(self._raw[first - STEP : last - STEP], floor)
        self._change[first:last] = change
        self._change_power[first:last] = np.einsum("ij,ij->i", change, change)
        self._written = stop - 1

    def _move(self, base: int) -> None:
        """Forget what is before row `base`."""
        by = min(base - self._base, ROWS)
        for table in self._tables:
            table[: ROWS - by] = table[by:].copy()
            table[ROWS - by :] = 0.0
        self._base = base


class _FrameClock:
    """When each frame's sound began, from when frames arrived: the earliest arrival of the last seconds tells."""

    def __init__(self) -> None:
        self.newest = 0
        "Row in which the newest frame began."
        self._count = 0
        self._earliest = self._earliest_before = math.inf
        "Clock less audio time, in this second or so and in the one before."

    def pass_over(self, at: float, frames: int) -> None:
        """So many frames came that nobody asks about."""
        if not frames:
            return
        offset = at - (self._count + frames - 1) * FRAME_SECONDS
        if self._earliest == math.inf or offset - self._earliest > GAP:
            self._count += frames - 1
            self.newest += (frames - 1) * FRAME // HOP
            self.row(at)
            return
        self._earliest = min(self._earliest, offset)
        self._count += frames
        self.newest += frames * FRAME // HOP

    def row(self, at: float) -> int:
        """The next frame's row."""
        offset = at - self._count * FRAME_SECONDS
        if offset - min(self._earliest, self._earliest_before) > GAP:
            self._earliest = self._earliest_before = offset
        self._earliest = min(self._earliest, offset)
        began = min(self._earliest, self._earliest_before) + (self._count - 1) * FRAME_SECONDS
        self._count += 1
        if self._count % WINDOW == 0:
            self._earliest_before, self._earliest = self._earliest, offset
        exact, expected = began * RATE / HOP, self.newest + FRAME // HOP
        self.newest = expected if abs(exact - expected) <= 0.8 else round(exact)
        return self.newest


GAP = 0.6
"Seconds by which a frame may come late before it is taken that the client had stopped sending."
WINDOW = 48
"Frames over which the earliest arrival is looked for, at least."


@cache
def _transform() -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """What `_levels` multiplies frames with, and where each band begins in a spectrum of real and imaginary parts.

    The window is scaled so that the powers of all lines add up to the mean square.
    """
    np = load_numpy()
    window = np.hanning(FRAME + 1)[:FRAME]
    window *= math.sqrt(2 / (FRAME * float(window.dot(window))))
    return window.astype(np.float32), 2 * np.array(EDGES[:-1])


def _levels(windows: NDArray[np.float32]) -> Levels:
    """Bands' levels of each row of FRAME samples: dB over one sample unit squared, at least 0."""
    np = load_numpy()
    window, begins = _transform()
    parts = np.fft.rfft(windows * window, axis=1).view(np.float32)[:, : 2 * EDGES[-1]]
    return 10 * np.log10(np.add.reduceat(parts * parts, begins, axis=1) + 1)
