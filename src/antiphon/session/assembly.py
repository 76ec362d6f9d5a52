"""Configuration + engines -> a Session. The only place that puts one together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.audio.formats import parse_format
from antiphon.engines.base import SILENT_USER, Message, Request
from antiphon.protocol.events import ServerEvent
from antiphon.protocol.server import EventIds
from antiphon.record.journal import Journal
from antiphon.record.transcript import Transcript
from antiphon.turns.endpointing import SpeechPolicy
from antiphon.turns.machine import TurnPolicy

from .context import messages
from .engines import Engines
from .hearing import Hearing
from .outbox import Outbox
from .reply import Mind
from .session import Lines, Session
from .speaking import Voice
from .tools.runner import ToolRunner

ENDPOINT_DELAY = {"eager": 0.35, "normal": 0.5, "patient": 0.9}
"`turn.turn_eagerness`: seconds of silence after which the user's turn is over."

REPROMPT = "Sorry, I did not catch that. Could you say it again?"
APOLOGY = "Sorry, something went wrong on my side. Could you say that again?"


# ----------------------------------------------------------------------------------------------------- sessions


def turn_policy(agent: AgentConfig, *, text_only: bool) -> TurnPolicy:
    """The agent's `turn` block, as the turn machine takes it. -1 is the API's "off"."""
    turn = agent.conversation_config.turn
    events = agent.conversation_config.effective_client_events
    return TurnPolicy(
        endpoint_delay=ENDPOINT_DELAY[turn.turn_eagerness],
        turn_timeout=None if text_only else _limit(turn.turn_timeout),
        initial_wait_time=None if text_only else _limit(turn.initial_wait_time),
        silence_end_call_timeout=_limit(turn.silence_end_call_timeout),
        max_duration=_limit(agent.conversation_config.conversation.max_duration_seconds),
        interruptible="interruption" in events,
        first_message_interruptible=not agent.conversation_config.agent.disable_first_message_interruptions,
    )


def _limit(seconds: float | None) -> float | None:
    return None if seconds is None or seconds < 0 else seconds


def assemble(
    agent: AgentConfig,
    engines: Engines,
    *,
    conversation_id: str,
    send: Callable[[ServerEvent], Awaitable[None]],
    write: Callable[[bytes], None],
    clock: Callable[[], float],
    header: Mapping[str, Any],
) -> Session:
    """One conversation with `agent`, whose overrides and variables are settled (`agents.initiation`).

    `send` takes events to the client, one after another; `write` takes journal lines; `clock` has the time base of the
    running loop; `header` is what the journal's first line says besides: started_at (epoch seconds), user_id,
    initiation (wire JSON), authorization_method.
    """
    config = agent.conversation_config
    text_only = config.conversation.text_only
    journal = Journal(write, clock)
    journal.begin(
        {
            "conversation_id": conversation_id,
            "agent_id": agent.agent_id,
            "agent_name": agent.name,
            **header,
            "language": config.agent.language,
            "text_only": text_only,
        }
    )
    ids, transcript = EventIds(), Transcript()
    events = config.effective_client_events
    if text_only and config.conversation.client_events is None:
        events |= {"agent_chat_response_part"}  # without sound, the streamed text is the main event (protocol.md S7)
    outbox = Outbox(send, journal, transcript, events)
    tools = ToolRunner(engines.tools, agent.dynamic_variables, outbox, ids)
    english = config.agent.language.lower().startswith("en")
    return Session(
        policy=turn_policy(agent, text_only=text_only),
        lines=Lines(config.agent.first_message, REPROMPT if english else None),
        mind=Mind(engines.llm, _requests(agent, transcript, tools, header), tools, APOLOGY),
        hearing=None if text_only else _hearing(agent, engines, outbox, ids, journal),
        voice=None if text_only else _voice(agent, engines, outbox, ids, journal, clock),
        input_format=parse_format(config.asr.user_input_audio_format),
        outbox=outbox,
        transcript=transcript,
        ids=ids,
        journal=journal,
        clock=clock,
    )


def _requests(
    agent: AgentConfig, transcript: Transcript, tools: ToolRunner, header: Mapping[str, Any]
) -> Callable[[], Request]:
    prompt, extra_body = agent.conversation_config.agent.prompt.prompt, agent.custom_llm_extra_body

    def request() -> Request:
        context = messages(prompt, transcript.entries)
        if _asks_nothing(context):
            context.append(Message("user", SILENT_USER))
        return Request(context, tools.specs, header.get("user_id"), extra_body)

    return request


def _asks_nothing(context: Sequence[Message]) -> bool:
    """Whether the agent had the last word; what the client told in the background is nobody's."""
    last = next((message for message in reversed(context) if message.role != "system"), None)
    return last is None or last.role == "assistant"


def _hearing(agent: AgentConfig, engines: Engines, outbox: Outbox, ids: EventIds, journal: Journal) -> Hearing:
    assert engines.vad is not None, "an agent that hears has engines to hear with"
    assert engines.stt is not None, "an agent that hears has engines to hear with"
    return Hearing(
        vad=engines.vad.stream(),
        stt=engines.stt,
        audio_format=parse_format(agent.conversation_config.asr.user_input_audio_format),
        policy=SpeechPolicy(),
        outbox=outbox,
        ids=ids,
        journal=journal,
    )


def _voice(
    agent: AgentConfig,
    engines: Engines,
    outbox: Outbox,
    ids: EventIds,
    journal: Journal,
    clock: Callable[[], float],
) -> Voice:
    assert engines.tts is not None, "an agent that speaks has an engine to speak with"
    return Voice(
        tts=engines.tts,
        audio_format=parse_format(agent.conversation_config.tts.agent_output_audio_format),
        outbox=outbox,
        ids=ids,
        journal=journal,
        clock=clock,
    )
