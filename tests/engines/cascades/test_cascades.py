"""Cascades under virtual time: what fails, stalls or clings is replaced, and nothing is said twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from antiphon.engines.base import Message, Request, Speech, TextDelta, Thought
from antiphon.engines.cascades.language_model import LanguageModelCascade
from antiphon.engines.cascades.text_to_speech import TextToSpeechCascade
from antiphon.errors import EngineError
from antiphon.simulation.loop import run

REQUEST = Request([Message("user", "hello")])
Step = float | str | EngineError


class Scripted:
    """Plays its steps: wait that long, say that, or fail. Both a model and a voice with 10 ms per character."""

    sample_rate = 16_000

    def __init__(self, *steps: Step, clings: bool = False, aligned: bool = True) -> None:
        self.steps, self.clings, self.aligned = steps, clings, aligned
        self.asked: list[str] = []
        self.closed = 0

    async def prepare(self) -> None: ...

    async def aclose(self) -> None: ...

    async def _play(self) -> AsyncGenerator[str]:
        try:
            for step in self.steps:
                if isinstance(step, EngineError):
                    raise step
                if isinstance(step, str):
                    yield step
                    continue
                try:
                    await asyncio.sleep(step)
                except asyncio.CancelledError:
                    if not self.clings:
                        raise
                    await asyncio.sleep(2.0)
        finally:
            self.closed += 1

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        self.asked.append(request.messages[-1].text)
        async for text in self._play():
            yield TextDelta(text)

    async def speak(self, text: str) -> AsyncGenerator[Speech]:
        self.asked.append(text)
        async for said in self._play():
            count = len(said) if self.aligned else 0
            starts = [0.01 * index for index in range(count)]
            yield Speech(bytes(320 * len(said)), list(said[:count]), starts, [0.01] * count)


async def answer(cascade: LanguageModelCascade) -> tuple[str, float]:
    began = asyncio.get_running_loop().time()
    text = "".join([each.text async for each in cascade.reply(REQUEST) if isinstance(each, TextDelta)])
    return text, asyncio.get_running_loop().time() - began


def models(*engines: Scripted) -> LanguageModelCascade:
    return LanguageModelCascade(engines, [f"model {index}" for index in range(len(engines))])


def voices(*engines: Scripted) -> TextToSpeechCascade:
    return TextToSpeechCascade(engines, [f"voice {index}" for index in range(len(engines))])


@pytest.mark.parametrize(
    ("steps", "seconds"), [([EngineError("x", "429", retryable=True)], 0.0), ([60.0, "late"], 4.0)]
)
def test_a_model_that_fails_before_it_speaks_is_replaced(steps: Sequence[Step], seconds: float) -> None:
    """An error at once, a silence after `first_token` seconds; the next turn does not wait for it again."""

    async def scene() -> None:
        first = Scripted(*steps)
        cascade = models(first, Scripted("hello"))
        assert await answer(cascade) == ("hello", pytest.approx(seconds))
        assert await answer(cascade) == ("hello", 0.0)
        assert (len(first.asked), first.closed) == (1, 1)

    run(scene())


def test_tokens_without_text_do_not_prolong_the_wait() -> None:
    """A model that dribbles nothing is as silent as one that says nothing."""

    async def scene() -> None:
        cascade = models(Scripted(*[1.5, ""] * 20, "late"), Scripted("hello"))
        assert await answer(cascade) == ("hello", pytest.approx(4.0))

    run(scene())


def test_what_was_said_is_not_said_again() -> None:
    """After the first word a failure or a stall is an error: no second model begins anew."""

    async def scene() -> None:
        for failing in (EngineError("x", "gone"), 60.0):
            backup = Scripted("hello")
            with pytest.raises(EngineError):
                await answer(models(Scripted("I was", failing), backup))
            assert backup.asked == []

    run(scene())


def test_the_last_model_is_waited_for_longer_but_not_for_ever() -> None:
    """A single engine has limits too."""

    async def scene() -> None:
        assert await answer(models(Scripted(20.0, "well"))) == ("well", pytest.approx(20.0))
        with pytest.raises(EngineError, match="no progress within 30 s"):
            await answer(models(Scripted(40.0, "well")))

    run(scene())


def test_a_model_that_clings_holds_the_turn_up_for_the_grace_only() -> None:
    """It swallows its cancellation for 2 s; the next one is asked after 0.25 s."""

    async def scene() -> None:
        assert await answer(models(Scripted(60.0, clings=True), Scripted("hello"))) == ("hello", pytest.approx(4.25))
        await asyncio.sleep(3.0)

    run(scene())


def test_closing_the_answer_ends_the_work_behind_it() -> None:
    """An interrupted reply leaves no request under way."""

    async def scene() -> None:
        model = Scripted("one", 5.0, "two")
        stream = models(model).reply(REQUEST)
        assert await anext(stream) == TextDelta("one")
        await stream.aclose()
        assert model.closed == 1

    run(scene())


def test_a_voice_that_breaks_off_is_followed_by_the_next_from_the_word_it_had_reached() -> None:
    """All characters of the alignment together are still the text, once."""

    async def scene() -> None:
        for failing in (EngineError("x", "gone"), 60.0):
            second = Scripted("bright ", "day")
            cascade = voices(Scripted("a br", failing), second)
            pieces = [each async for each in cascade.speak("a bright day")]
            assert second.asked == ["bright day"]
            assert "".join(char for piece in pieces for char in piece.chars) == "a bright day"

    run(scene())


def test_a_voice_without_alignment_that_breaks_off_is_an_error() -> None:
    """Nobody knows what was heard: saying it all again would be worse."""

    async def scene() -> None:
        cascade = voices(Scripted("a br", EngineError("x", "gone"), aligned=False), Scripted("a bright day"))
        with pytest.raises(EngineError):
            async for _ in cascade.speak("a bright day"):
                pass

    run(scene())


def test_a_voice_that_stays_silent_is_replaced() -> None:
    """After `first_sound` seconds, and at once for the next clause."""

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        cascade = voices(Scripted(60.0), Scripted("hello"))
        for seconds in (3.0, 3.0):
            assert [each async for each in cascade.speak("hello")]
            assert loop.time() == pytest.approx(seconds)

    run(scene())
