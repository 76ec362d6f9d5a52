"""Configuration + engines -> a Session. The only place that puts one together."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from antiphon.agents.config import AgentConfig
from antiphon.agents.initiation import in_language, system_variables, transferred
from antiphon.agents.tools import ToolConfig
from antiphon.agents.workspace import Workspace
from antiphon.audio.echo import EchoGate
from antiphon.audio.formats import parse_format
from antiphon.dialogue import items as it
from antiphon.dialogue.outcome import SwitchLanguage, Transfer
from antiphon.dialogue.settings import Settings, ToolRules
from antiphon.engines.base import SILENT_USER, Guessing, Message, Request
from antiphon.errors import SessionError
from antiphon.protocol.events import ServerEvent
from antiphon.record.journal import Journal
from antiphon.record.recording import Recording
from antiphon.record.transcript import Entry, Transcript, UserSaid
from antiphon.turns.endpointing import SpeechPolicy
from antiphon.turns.machine import TurnPolicy

from .casting import Casting
from .context import messages
from .engines import Engines
from .hearing import Hearing
from .inbox import Inbox
from .lines import fixed_lines
from .outbox import Outbox
from .session import Change, Mind, Session
from .stopwatch import Stopwatch
from .tools.hosts import HostPolicy
from .tools.runner import Mock, ToolRunner

FILLER_PROMPT = (
    "You are in the middle of a telephone conversation and need a moment to think. Say one very short, natural phrase "
    "that bridges the wait, in the language of the conversation. Do not answer, do not promise anything."
)
FILLER_CONTEXT = 6
"Entries of the conversation that are shown to whoever makes up a filler."
ENDPOINT_DELAYS = {"eager": (0.35, 0.25, 0.9, 1.25), "normal": (0.5, 0.4, 1.2, 1.5), "patient": (0.9, 0.65, 1.6, 2.0)}
"""`turn.turn_eagerness`: seconds of silence after which the user's turn is over, where nothing is known of what was
said; where it sounds finished; unfinished; dictated (benchmarks/dictation.py)."""
WORD_DELAY = TurnPolicy().word_delay
BARGE_IN_DELAY = 0.35
"Seconds of speech over the agent that interrupt it, unless only backchannels were understood so far."


def turn_policy(agent: AgentConfig, *, text_only: bool, judges: bool = False, sure_after: float = 0.0) -> TurnPolicy:
    """The agent's `turn` block, as the turn machine takes it. -1 is the API's "off". `judges`: there is a detector."""
    config = agent.conversation_config
    turn, soft = config.turn, config.turn.soft_timeout_config
    pause, finished, unfinished, dictation = ENDPOINT_DELAYS[turn.turn_eagerness]
    return TurnPolicy(
        language=config.agent.language,
        endpoint_delay=pause,
        finished_delay=finished,
        unfinished_delay=unfinished,
        dictation_delay=dictation,
        word_delay=max(WORD_DELAY, sure_after),
        barge_in_delay=max(BARGE_IN_DELAY, sure_after + 0.05),
        spelling_patience=turn.spelling_patience == "auto",
        fixed_silence=turn.mode == "silence",
        judges=judges,
        speculative=turn.speculative_turn,
        ignore_terms=frozenset(term.casefold().strip() for term in turn.interruption_ignore_terms),
        default_backchannels=turn.merge_with_default_ignore_terms,
        backchannel_languages=turn.interruption_ignore_term_languages,
        interruptible="interruption" in config.effective_client_events,
        first_message_interruptible=not config.agent.disable_first_message_interruptions,
        transcribe_when_locked=turn.transcribe_on_disabled_interruptions,
        turn_timeout=None if text_only else _limit(turn.turn_timeout),
        initial_wait_time=None if text_only else _limit(turn.initial_wait_time),
        silence_end_call_timeout=_limit(turn.silence_end_call_timeout),
        soft_timeout=_limit(soft.timeout_seconds),
        max_soft_timeouts=soft.max_soft_timeouts_per_generation,
        soft_timeout_needs_user=soft.disable_until_first_user_message,
        max_duration=_limit(config.conversation.max_duration_seconds),
        farewell=bool(config.agent.max_conversation_duration_message.strip()),
    )


def _limit(seconds: float | None) -> float | None:
    return None if seconds is None or seconds < 0 else seconds


def settings(agent: AgentConfig, engines: Engines, tools: Mapping[str, ToolConfig]) -> Settings:
    """What the agent's dialogue goes by."""
    config = agent.conversation_config
    text_only = config.conversation.text_only
    events = client_events(agent)
    return Settings(
        policy=turn_policy(
            agent,
            text_only=text_only,
            judges=getattr(engines, "turn", None) is not None,
            sure_after=engines.stt.sure_after if isinstance(engines.stt, Guessing) else 0.0,
        ),
        lines=fixed_lines(agent),
        output_format=None if text_only else parse_format(config.tts.agent_output_audio_format),
        sample_rate=16_000 if engines.tts is None else engines.tts.sample_rate,
        max_silence=config.antiphon.max_silence_seconds,
        shows_parts="agent_chat_response_part" in events,
        shows_partials="tentative_user_transcript" in events,
        language=config.agent.language,
        tools={
            name: ToolRules(tool.execution_mode, tool.interruption_mode, tool.pre_tool_speech)
            for name, tool in tools.items()
        },
        parameters=[hint for tool in tools.values() for hint in _parameters(tool)],
    )


def client_events(agent: AgentConfig) -> frozenset[str]:
    """Types of events that go out. Without sound, the streamed text is the main one (protocol.md S7)."""
    conversation = agent.conversation_config.conversation
    events = agent.conversation_config.effective_client_events
    if conversation.text_only and conversation.client_events is None:
        events |= {"agent_chat_response_part"}
    return events


def _parameters(tool: ToolConfig) -> list[str]:
    known: Mapping[str, Any] = tool.json_schema().get("properties", {})
    return [f"{name}: {schema.get('description', '')}" for name, schema in known.items()]


def assemble(
    agent: AgentConfig,
    engines: Engines,
    *,
    conversation_id: str,
    send: Callable[[ServerEvent], Awaitable[None]],
    write: Callable[[bytes], None],
    clock: Callable[[], float],
    header: Mapping[str, Any],
    workspace: Workspace | None = None,
    hosts: HostPolicy | None = None,
    casting: Casting | None = None,
    recording: Recording | None = None,
    observe: Callable[[ServerEvent], None] | None = None,
    told: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    history: Sequence[Entry] = (),
    mock: Mock | None = None,
) -> Session:
    """One conversation with `agent`, whose overrides and variables are settled (`agents.initiation`).

    `send` takes events to the client, one after another; `write` takes journal lines; `clock` has the time base of the
    running loop; `header` is what the journal's first line says besides: started_at (epoch seconds), user_id,
    initiation (wire JSON), authorization_method. `workspace` has the secrets and MCP servers of the agent's tools, and
    `hosts` says where those may be. `casting` has what the conversation may change to; None: it cannot change its
    language or its agent. `recording`, of 16 kHz, gets what both sides say. `environment`: what `env_var_label` is
    in the headers of tools; `told`: the part of it that a tool may have as `system__env_...`.
    `history`: what was said before; the agent knows it, the journal does not. `mock` stands in for tools.
    """
    config = agent.conversation_config
    stopwatch = Stopwatch(clock)
    journal = Journal(write, stopwatch.last)
    rules = settings(agent, engines, engines.tools)
    journal.begin(
        {
            "conversation_id": conversation_id,
            "agent_id": agent.agent_id,
            "agent_name": agent.name,
            **header,
            "language": config.agent.language,
            "text_only": config.conversation.text_only,
            "settings": rules.document(),
        }
    )
    transcript = Transcript()
    transcript.entries.extend(history)
    outbox = Outbox(send, journal, transcript, client_events(agent), observe)
    inbox: Inbox[Any] = Inbox()
    text_only = config.conversation.text_only
    gate = EchoGate() if config.antiphon.echo_gate and not text_only else None
    part = Part(
        conversation_id,
        transcript=transcript,
        inbox=inbox,
        header=header,
        stopwatch=stopwatch,
        workspace=workspace,
        hosts=hosts,
        casting=casting,
        told=told or {},
        environment=environment,
        mock=mock,
    )

    return Session(
        settings=rules,
        mind=part.mind(agent, engines),
        hearing=None if text_only else _hearing(agent, engines, outbox, journal, gate, recording),
        gate=gate,
        input_format=parse_format(config.asr.user_input_audio_format),
        outbox=outbox,
        inbox=inbox,
        transcript=transcript,
        journal=journal,
        stopwatch=stopwatch,
        change=part.change,
        recording=recording,
    )


class Part:
    """What a conversation keeps while its agent changes: the transcript, the variables, where things come from."""

    def __init__(
        self,
        conversation_id: str,
        *,
        transcript: Transcript,
        inbox: Inbox[Any],
        header: Mapping[str, Any],
        stopwatch: Stopwatch,
        workspace: Workspace | None,
        hosts: HostPolicy | None,
        casting: Casting | None,
        told: Mapping[str, str],
        environment: Mapping[str, str] | None,
        mock: Mock | None,
    ) -> None:
        self._conversation_id = conversation_id
        self._transcript = transcript
        self._inbox = inbox
        self._header = header
        self._stopwatch = stopwatch
        self._workspace = workspace
        self._hosts = hosts
        self._casting = casting
        self._told = told
        self._environment = environment
        self._mock = mock
        self._agent: AgentConfig
        self._engines: Engines
        self._tools: ToolRunner

    def mind(self, agent: AgentConfig, engines: Engines) -> Mind:
        """What `agent` thinks, speaks and acts with, from here on."""
        config = agent.conversation_config
        self._agent, self._engines = agent, engines
        self._tools = tools = ToolRunner(
            engines.tools,
            variables=agent.dynamic_variables,
            announce=lambda event: self._inbox.put(it.Announced(event)),
            workspace=self._workspace,
            system_variables=self._system_variables,
            hosts=self._hosts,
            mcp_server_ids=config.agent.prompt.mcp_server_ids,
            languages=[(agent.origin or agent).conversation_config.agent.language, *config.language_presets],
            sounds=not config.conversation.text_only,
            environment=self._environment,
            user_turns=lambda: sum(isinstance(entry, UserSaid) for entry in self._transcript.entries),
            approves="mcp_tool_call" in client_events(agent),
            mock=self._mock,
        )
        return Mind(
            engines.llm,
            _requests(agent, self._transcript, tools, self._header),
            lambda: _filler(agent, self._transcript),
            tools,
            engines.tts,
        )

    def _system_variables(self) -> Mapping[str, Any]:
        """As they are at the moment of a tool call."""
        started_at = float(self._header.get("started_at") or 0.0)
        said = messages("", self._transcript.entries)
        return {
            **system_variables(
                conversation_id=self._conversation_id,
                now=started_at + self._stopwatch.now,
                started_at=started_at,
                timezone=self._agent.conversation_config.agent.prompt.timezone,
                agent_turns=sum(message.role == "assistant" for message in said),
                history=[{"role": message.role, "message": message.text} for message in said if message.text],
                environment=self._told,
            ),
            "system__current_agent_id": self._agent.agent_id,
        }

    async def change(self, wanted: SwitchLanguage | Transfer) -> Change:
        """Another language, another agent. Raises SessionError, ConfigError, EngineError."""
        if self._casting is None:
            raise SessionError("this conversation cannot change its language or its agent")
        before, stt, variables = self._agent, self._engines.stt, self._tools.variables
        if isinstance(wanted, SwitchLanguage):
            agent = in_language(dataclasses.replace(before, dynamic_variables=variables), wanted.language)
        else:
            other = await self._casting.agent(wanted.agent_id)
            agent = transferred(
                dataclasses.replace(before, dynamic_variables=variables),
                other,
                keeps_tts_overrides=wanted.keeps_tts_overrides,
                system_variables=self._system_variables(),
            )
        engines = await self._casting.engines(agent)
        mind = self.mind(agent, engines)
        return Change(
            settings(agent, engines, engines.tools),
            mind,
            stt=None if engines.stt is stt else engines.stt,
            greets=isinstance(wanted, Transfer) and wanted.greets,
        )


def _requests(
    agent: AgentConfig, transcript: Transcript, tools: ToolRunner, header: Mapping[str, Any]
) -> Callable[[str | None], Request]:
    prompt, extra_body = agent.conversation_config.agent.prompt.prompt, agent.custom_llm_extra_body

    def request(said: str | None) -> Request:
        entries = transcript.entries if said is None else [*transcript.entries, UserSaid(said)]
        context = messages(prompt, entries)
        if _asks_nothing(context):
            context.append(Message("user", SILENT_USER))
        return Request(context, tools.specs, header.get("user_id"), extra_body)

    return request


def _filler(agent: AgentConfig, transcript: Transcript) -> Request:
    prompt = agent.conversation_config.turn.soft_timeout_config.llm_generated_message_prompt_override or FILLER_PROMPT
    recent = messages("", transcript.entries[-FILLER_CONTEXT:])
    told = "\n".join(f"{message.role}: {message.text}" for message in recent if message.text)
    return Request([Message("system", prompt), Message("user", told or SILENT_USER)])


def _asks_nothing(context: Sequence[Message]) -> bool:
    """Whether the agent had the last word; what the client told in the background is nobody's."""
    last = next((message for message in reversed(context) if message.role != "system"), None)
    return last is None or last.role == "assistant"


def _hearing(
    agent: AgentConfig,
    engines: Engines,
    outbox: Outbox,
    journal: Journal,
    gate: EchoGate | None,
    recording: Recording | None,
) -> Hearing:
    assert engines.vad is not None, "an agent that hears has engines to hear with"
    assert engines.stt is not None, "an agent that hears has engines to hear with"
    return Hearing(
        vad=engines.vad.stream(),
        stt=engines.stt,
        audio_format=parse_format(agent.conversation_config.asr.user_input_audio_format),
        policy=SpeechPolicy(),
        outbox=outbox,
        journal=journal,
        turn=getattr(engines, "turn", None),
        gate=gate,
        recording=recording,
    )
