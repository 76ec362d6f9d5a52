"""Faults: drawn the same way every time, and what each does to a stream."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

import pytest

from antiphon.engines.base import EngineContext, Message, Request, Speech, TextDelta
from antiphon.engines.registry import Registry
from antiphon.errors import ConfigError, EngineError
from antiphon.simulation.chaos import engines
from antiphon.simulation.chaos.faults import CLINGS, FAULTS, Fault, draw, suffer
from antiphon.simulation.loop import run


async def numbers(count: int = 10) -> AsyncGenerator[int]:
    for number in range(count):
        yield number


def crumble(number: int) -> Iterable[tuple[int, float]]:
    return [(number, 0.5), (number, 0.5)]


async def _suffered(fault: Fault, patience: float | None = None) -> tuple[list[int], float]:
    """What came, and how long it took."""
    loop = asyncio.get_running_loop()
    began, items = loop.time(), list[int]()
    try:
        async with asyncio.timeout(patience):
            async for number in suffer(numbers(), fault, "llm", crumble):
                items.append(number)
    except TimeoutError:
        pass
    return items, loop.time() - began


def test_the_same_call_suffers_the_same() -> None:
    """From the seed, the kind of engine and the number of the call."""
    faults = {str(name): 0.2 for name in FAULTS}
    assert [draw(faults, 7, "llm", call) for call in range(50)] == [draw(faults, 7, "llm", call) for call in range(50)]
    assert [draw(faults, 7, "llm", call) for call in range(50)] != [draw(faults, 8, "llm", call) for call in range(50)]
    assert [draw(faults, 7, "llm", call) for call in range(50)] != [draw(faults, 7, "tts", call) for call in range(50)]


def test_faults_come_as_often_as_they_are_likely() -> None:
    """Each for itself."""
    drawn = [draw({"stall": 0.1, "429": 0.3, "jitter": 0.5}, 1, "llm", call) for call in range(4000)]
    assert sum(fault.severe == "stall" for fault in drawn) / 4000 == pytest.approx(0.1, abs=0.02)
    assert sum(fault.severe == "429" for fault in drawn) / 4000 == pytest.approx(0.3, abs=0.03)
    assert sum(fault.jitter for fault in drawn) / 4000 == pytest.approx(0.5, abs=0.03)
    assert not any(fault.severe in ("dribble", "clinging") or fault.drops is not None for fault in drawn)


def test_without_a_fault_nothing_changes() -> None:
    """Not even the time."""
    assert run(_suffered(Fault())) == (list(range(10)), 0.0)


def test_a_stall_stops_between_two_items_or_before_the_end() -> None:
    """For a while, or until nobody waits any longer."""
    assert run(_suffered(Fault("stall", item=3, seconds=5.0), patience=4.0))[0] == [0, 1, 2]
    assert run(_suffered(Fault("stall", item=3, seconds=5.0), patience=6.0)) == (list(range(10)), 5.0)
    assert run(_suffered(Fault("stall", item=3, after=True, seconds=5.0))) == (list(range(10)), 5.0)
    assert run(_suffered(Fault("stall", item=50, seconds=5.0)))[1] == 5.0, "of a stream that is shorter: at its end"


def test_a_refusal_may_come_after_some_items() -> None:
    """And says that another try may help."""

    async def refused(item: int) -> tuple[list[int], EngineError]:
        got: list[int] = []
        try:
            async for number in suffer(numbers(), Fault("429", item=item), "llm", crumble):
                got.append(number)  # noqa: PERF401 - what had come is wanted although it fails
        except EngineError as error:
            return got, error
        raise AssertionError("it was not refused")

    got, error = run(refused(0))
    assert got == []
    assert error.retryable
    assert run(refused(2))[0] == [0, 1]


def test_items_are_lost_swapped_late_and_in_crumbs() -> None:
    """Each as the fault says."""
    assert run(_suffered(Fault(drops=4)))[0] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert run(_suffered(Fault(swaps=4)))[0] == [0, 1, 2, 3, 5, 4, 6, 7, 8, 9]
    assert run(_suffered(Fault(swaps=9)))[0] == list(range(10)), "the last has no neighbour"
    items, seconds = run(_suffered(Fault(jitter=True)))
    assert items == list(range(10))
    assert 0 < seconds < 1
    items, seconds = run(_suffered(Fault("dribble")))
    assert items == [number for number in range(10) for _ in range(2)]
    assert 5 < seconds < 20


def test_an_engine_that_clings_goes_on_although_it_is_cancelled() -> None:
    """But not for ever."""

    async def cling() -> tuple[int, int, float]:
        items: list[int] = []

        async def read() -> None:
            async for number in suffer(numbers(1000), Fault("clinging"), "llm", crumble):
                items.append(number)  # noqa: PERF401 - looked at while it goes on

        task = asyncio.get_running_loop().create_task(read())
        await asyncio.sleep(1.0)
        before = len(items)
        task.cancel()
        await asyncio.wait({task})
        return before, len(items), asyncio.get_running_loop().time()

    before, after, ended = run(cling())
    assert after > before > 0
    assert 1.0 < ended < 1.0 + 2 * CLINGS + 0.5


def test_a_dribbled_piece_of_speech_is_the_same_speech() -> None:
    """Sound and characters of the crumbs together: those of the piece, silent characters included."""
    options = engines.Options(of={"engine": "scripted"})
    voice = engines.ChaoticTextToSpeech(Registry().create("tts", "scripted", {}, EngineContext()), options)
    audio = bytes(range(200)) * 16
    timed = Speech(audio, list("ab, c."), [0.0, 0.02, 0.04, 0.04, 0.06, 0.1], [0.02, 0.02, 0.0, 0.02, 0.04, 0.0])
    for speech in (timed, Speech(audio)):
        crumbs = [crumb for crumb, _ in voice._crumbs(speech)]
        assert b"".join(crumb.audio for crumb in crumbs) == audio
        assert all(crumb.audio for crumb in crumbs)
        assert [char for crumb in crumbs for char in crumb.chars] == list(speech.chars)


def test_the_engine_wraps_any_other() -> None:
    """By its name in the agent's file; all three kinds."""
    registry = Registry()
    for kind in ("llm", "stt", "tts"):
        registry.add(kind, "chaos", engines.factory(kind, registry))
    context = EngineContext()
    scripted = {"engine": "scripted", "rules": [{"say": "Well, well."}]}

    async def said(faults: dict[str, float]) -> str:
        model = registry.create("llm", "chaos", {"of": scripted, "faults": faults}, context)
        await model.prepare()
        request = Request([Message("user", "hello")])
        return "".join([one.text async for one in model.reply(request) if isinstance(one, TextDelta)])

    assert run(said({"jitter": 1.0})).strip() == "Well, well."
    with pytest.raises(EngineError, match="429"):
        run(said({"429": 1.0}))
    voice = registry.create("tts", "chaos", {"of": {"engine": "scripted", "sample_rate": 8000}}, context)
    assert voice.sample_rate == 8000


@pytest.mark.parametrize(
    "options",
    [
        {"of": {"engine": "scripted"}, "faults": {"gremlins": 0.1}},
        {"of": {"engine": "scripted"}, "faults": {"stall": 1.1}},
        {"of": {"engine": "scripted"}, "faults": {"stall": 0.6, "429": 0.6}},
        {"of": {}},
        {"faults": {}},
        {"of": {"engine": "scripted"}, "tuning": 1},
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object]) -> None:
    """With the place in the file."""
    with pytest.raises(ConfigError, match=r"antiphon\.tts"):
        engines.factory("tts", Registry())(options, EngineContext())


def test_an_utterance_is_answered_late_or_never_but_once() -> None:
    """A final transcript is neither lost nor swapped: it may only be waited for in vain."""
    registry = Registry()
    registry.add("stt", "chaos", engines.factory("stt", registry))
    lines = ["one two three four", "five six"]
    scripted = {"engine": "scripted", "lines": lines, "partials": True}
    faults = {"drop": 1.0, "reorder": 1.0, "jitter": 1.0}
    recogniser = registry.create("stt", "chaos", {"of": scripted, "faults": faults, "seed": 3}, EngineContext())

    async def hear() -> list[str]:
        finals: list[str] = []
        async with recogniser.stream() as recognition:
            for _ in lines:
                for _ in range(20):
                    recognition.feed(bytes(3200))
                recognition.finish()
            async for transcript in recognition.transcripts():
                if transcript.final:
                    finals.append(transcript.text)
                if len(finals) == len(lines):
                    break
        return finals

    assert run(hear()) == lines
