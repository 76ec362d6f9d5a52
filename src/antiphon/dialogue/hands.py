"""What a dialogue has done for it: the only way in which it touches the world. Every call returns at once."""

from __future__ import annotations

from typing import Protocol

from antiphon.engines.base import ToolCall
from antiphon.protocol.events import AgentAudio, ClientToolResult, McpToolApprovalResult, ServerEvent
from antiphon.turns.observations import Observation

from .outcome import SwitchLanguage, Transfer


class Hands(Protocol):
    """Carries out. What comes of it is handed back as items (items.py), never as a return value, save `room`."""

    def emit(self, event: ServerEvent) -> None:
        """An event of the conversation: for the journal, the transcript and the client."""
        ...

    def play(self, event: AgentAudio, at: float) -> None:
        """A piece of sound, for the same; it begins to sound at about `at`."""
        ...

    def room(self) -> bool:
        """Whether the transport takes more sound now. If not, Drained follows when it does."""
        ...

    def hush(self, at: float) -> None:
        """The client throws away what would sound after `at`."""
        ...

    def saw(self, observation: Observation) -> None:
        """The turn machine is being told this."""
        ...

    def think(self, reply: int, round: int, text: str | None) -> None:  # noqa: A002
        """Ask the language model with the context as it stands, and with `text` as the user's last words if given."""
        ...

    def compose(self, reply: int, otherwise: str) -> None:
        """Have the language model make up a filler: Composed follows, with `otherwise` where it cannot."""
        ...

    def pronounce(self, reply: int, clause: int, text: str) -> None:
        """Have a clause spoken: Spoken and SpeechOver follow."""
        ...

    def run_tool(self, reply: int, call: ToolCall) -> None:
        """Run it: ToolDone follows."""
        ...

    def resolve(self, event: ClientToolResult | McpToolApprovalResult) -> None:
        """The client has answered a tool call."""
        ...

    def drop(self, reply: int) -> None:
        """Nobody needs what is being thought, spoken or run for this reply."""
        ...

    def switch(self, reply: int, change: SwitchLanguage | Transfer) -> None:
        """Another language, another agent: Switched follows."""
        ...

    def end_utterance(self, utterance: int) -> None:
        """Have what was heard transcribed: UtteranceEnded and Heard follow."""
        ...

    def discard_utterance(self) -> None:
        """What was heard is no utterance."""
        ...

    def judge(self, pause: int) -> None:
        """Ask the turn detector: TurnJudged follows."""
        ...
