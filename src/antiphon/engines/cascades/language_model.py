"""Language models in a row: the next is asked when one fails before it has said anything."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Sequence

from antiphon.engines.base import LanguageModel, Request, TextDelta, Thought, ToolCall
from antiphon.errors import ConfigError, EngineError

from .progress import COOL_DOWN, Order, progress

logger = logging.getLogger(__name__)

FIRST_TOKEN = 4.0
"Seconds to the first thought, as long as there is another model to ask (`cascade_timeout_seconds`)."

PATIENCE = 30.0
"Seconds to the first thought of the last model there is: a slow answer is better than none, but never for ever."

GAP = 10.0
"Seconds between two thoughts of an answer that has begun."


class LanguageModelCascade:
    """Asks the first model; when that errors, refuses or says nothing in time, the next.

    Once something was said it cannot be unsaid: what fails then raises EngineError. With a single model it holds the
    limits alone.
    """

    def __init__(
        self,
        models: Sequence[LanguageModel],
        names: Sequence[str],
        *,
        first_token: float = FIRST_TOKEN,
        patience: float = PATIENCE,
        gap: float = GAP,
        cool_down: float = COOL_DOWN,
    ) -> None:
        if not models or len(models) != len(names):
            raise ValueError("a cascade needs models, and a name for each")
        self._models = models
        self._names = names
        self._first_token = first_token
        self._patience = patience
        self._gap = gap
        self._order = Order(names, cool_down)

    @property
    def first(self) -> LanguageModel:
        """The agent's own model: what is known of it beforehand (base.Scripted) holds for the cascade."""
        return self._models[0]

    async def prepare(self) -> None:
        """Prepare every model. A backup that cannot be is logged and asked only when all else has failed."""
        await self._models[0].prepare()
        for index, model in enumerate(self._models[1:], 1):
            try:
                await model.prepare()
            except (ConfigError, EngineError) as error:
                self._order.failed(index, EngineError(self._names[index], str(error)))

    async def reply(self, request: Request) -> AsyncGenerator[Thought]:
        """The answer of the first model that gives one. Raises EngineError: none did, or one broke off."""
        order = self._order.now()
        failure: EngineError | None = None
        for place, index in enumerate(order):
            name = self._names[index]
            begun = False
            limit = self._patience if place == len(order) - 1 else self._first_token
            try:
                async with progress(name, self._models[index].reply(request)) as thoughts:
                    # The limit holds for the first thought as a whole: tokens without text must not prolong it.
                    first = thoughts.until(limit)
                    while (thought := await (thoughts.next(self._gap) if begun else first())) is not None:
                        if not begun and _counts(thought):
                            begun = True
                            self._order.works(index)
                        yield thought
                self._order.works(index)
            except EngineError as error:
                self._order.failed(index, error)
                if begun:
                    raise
                failure = error
            else:
                return
        assert failure is not None, "there is at least one model"
        raise failure

    async def aclose(self) -> None:
        """Free every model."""
        for model in self._models:
            await model.aclose()


def _counts(thought: Thought) -> bool:
    return isinstance(thought, ToolCall) or (isinstance(thought, TextDelta) and bool(thought.text))
