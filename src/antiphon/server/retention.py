"""Conversations are forgotten when their agents say so: `platform_settings.privacy.retention_days` (rest.md 2.3).

    retention_days              days that a conversation is kept after its end; -1: for ever; 0: until the next sweep
    delete_audio                then its recording is forgotten
    delete_transcript_and_pii   then what was said in it is, and by whom
    neither of the two          then all of it is

What holds is what the agent says now. Webhooks that wait to be posted are waited for: they are made of what is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from antiphon.agents.config import Privacy
from antiphon.errors import AntiphonError, ConfigError, NotFoundError, StoreError
from antiphon.store.store import Store

from .records import Records
from .workspace import StoredWorkspace

logger = logging.getLogger(__name__)

DAY = 86_400.0
"Seconds."
BATCH = 200
"Conversations that are looked up at a time."


class Retention:
    """Forgets what is not to be kept any longer. `epoch`: seconds since 1970."""

    def __init__(
        self, store: Store, records: Records, workspace: StoredWorkspace, epoch: Callable[[], float], interval: float
    ) -> None:
        """`interval`: seconds between two sweeps."""
        self._store = store
        self._records = records
        self._workspace = workspace
        self._epoch = epoch
        self._interval = interval

    async def run(self) -> None:
        """Sweep now, and again and again; runs until cancelled."""
        while True:
            try:
                forgotten = await self.sweep()
                if forgotten:
                    logger.info("conversations were forgotten as their agents say", extra={"conversations": forgotten})
            except StoreError:  # the next time will do
                logger.exception("conversations could not be forgotten")
            await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """Forget what is due. Returns how often something was forgotten. Raises StoreError."""
        forgotten = 0
        for agent_id in await self._workspace.agent_names():
            try:
                privacy = (await self._workspace.agent(agent_id)).platform_settings.privacy
            except (NotFoundError, ConfigError):  # deleted meanwhile, or not understood: nothing says what to forget
                continue
            if privacy.retention_days >= 0:
                forgotten += await self._sweep_agent(agent_id, privacy)
        if forgotten:
            await self._store.database.scrub()
        return forgotten

    async def _sweep_agent(self, agent_id: str, privacy: Privacy) -> int:
        ended_before = self._epoch() - privacy.retention_days * DAY
        forgotten = 0
        if privacy.delete_audio:
            forgotten += await self._forget(agent_id, ended_before, "audio", self._records.forget_audio)
        if privacy.delete_transcript_and_pii:
            forgotten += await self._forget(agent_id, ended_before, "journal", self._records.forget_transcript)
        if not privacy.delete_audio and not privacy.delete_transcript_and_pii:
            forgotten += await self._forget(agent_id, ended_before, "anything", self._records.delete)
        return forgotten

    async def _forget(
        self,
        agent_id: str,
        ended_before: float,
        having: Literal["anything", "audio", "journal"],
        forget: Callable[[str], Awaitable[None]],
    ) -> int:
        """Until none is left; one that cannot be forgotten now is left to the next sweep."""
        forgotten = 0
        while due := await self._store.conversations.over(
            agent_id, ended_before=ended_before, having=having, limit=BATCH
        ):
            done = 0
            for identifier in due:
                try:
                    await forget(identifier)
                    done += 1
                except NotFoundError:  # somebody else was faster
                    pass
                except AntiphonError:
                    logger.exception("a conversation could not be forgotten", extra={"conversation_id": identifier})
            forgotten += done
            if len(due) < BATCH or not done:
                break
        return forgotten
