"""An agent's configuration: its JSON document is the truth, and these are typed looks at it.

Names and tree are the API's (rest.md 2), so that who knows the one knows the other. `conversation_config.antiphon` is
our own block: which engines hear, think and speak.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from antiphon.audio.formats import FORMATS

from .reading import View, place, read
from .tools import DynamicVariables, ToolConfig

ALWAYS_SENT = frozenset({"conversation_initiation_metadata", "ping", "client_tool_call"})
"Events that every client gets, whatever `client_events` lists: without them it cannot take part (protocol.md 1.3)."

DEFAULT_CLIENT_EVENTS = frozenset(
    {"audio", "interruption", "agent_response", "agent_response_correction", "user_transcript"}
    | {"tentative_user_transcript", "conversation_initiation_metadata", "ping"}
)
"""Without `client_events`: the list of the published contract, and the correction, without which a client shows words
that nobody heard."""

# ------------------------------------------------------------------------------------------------ kinds of values


def _audio_format(name: str) -> str:
    if name not in FORMATS:
        raise PydanticCustomError("audio_format", "should be one of {names}", {"names": ", ".join(FORMATS)})
    return name


def _turn_timeout(seconds: float) -> float:
    if not (1 <= seconds <= 30 or seconds == -1):
        raise PydanticCustomError("range", "should be 1 to 30 seconds, or -1 for never")
    return seconds


def _limit(seconds: float) -> float:
    if not (seconds > 0 or seconds == -1):
        raise PydanticCustomError("range", "should be above 0 seconds, or -1 for never")
    return seconds


def time_zone(name: str | None) -> tzinfo:
    """The time zone of that name. UTC, also for None, needs no database. Raises what ZoneInfo raises."""
    return ZoneInfo(name) if name and name != "UTC" else UTC


def _time_zone(name: str | None) -> str | None:
    try:
        time_zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PydanticCustomError("time_zone", "should be a time zone of this machine's database") from error
    return name


AudioFormatName = Annotated[str, AfterValidator(_audio_format)]
Limit = Annotated[float, AfterValidator(_limit)]
"Seconds above 0; -1: never."
Share = Annotated[float, Field(ge=0, le=1)]

# ----------------------------------------------------------------------------------------------- conversation_config


class KnowledgeBaseLocator(View):
    """A document that the agent knows."""

    id: str
    name: str = ""
    type: str = "file"
    usage_mode: Literal["prompt", "auto"] = "auto"
    "`prompt`: always in the prompt. `auto`: looked up when needed, where retrieval is on."


class BackupLlm(View):
    """`backup_llm_config`: which models are asked when the agent's own fails."""

    preference: Literal["default", "disabled", "override"] = "default"
    "`default`: the operator's (setting `llm_models`, pattern `backup`), if there is one."
    order: tuple[str, ...] = ()
    "Of `override`: names of models, asked in this order."


class Prompt(View):
    """`agent.prompt`: what the agent thinks with."""

    prompt: str = ""
    "The system prompt; may hold `{{variables}}`."
    llm: str = "gemini-2.5-flash"
    "Name of the model; `custom-llm`: the one of `custom_llm`."
    temperature: float | None = 0.0
    "None: whatever the model does by itself."
    max_tokens: int = -1
    "Limit of one answer; -1: none."
    tool_ids: tuple[str, ...] = ()
    "Tools of the workspace."
    tools: tuple[ToolConfig, ...] = ()
    "Tools defined in place; deprecated upstream, still sent by real clients."
    built_in_tools: Mapping[str, ToolConfig] = {}
    "System tools by name; those that are switched off (null) are left out."
    mcp_server_ids: tuple[str, ...] = ()
    knowledge_base: tuple[KnowledgeBaseLocator, ...] = ()
    custom_llm: Mapping[str, Any] | None = None
    "Of `llm: custom-llm`: `url`, `model_id`, `api_key`, ... (rest.md 4)."
    backup_llm_config: BackupLlm = BackupLlm()
    cascade_timeout_seconds: Annotated[float, Field(ge=2, le=15)] = 4.0
    "Seconds that a model may take to its first token before the next one of the cascade is asked."
    timezone: Annotated[str | None, AfterValidator(_time_zone)] = None
    "Of `{{system__time}}`, as `Europe/Berlin`; None: UTC."

    @field_validator("built_in_tools", mode="before")
    @classmethod
    def _switched_on(cls, tools: Any) -> Any:
        """Name and type may be missing: the key says both (rest.md 2.1)."""
        if not isinstance(tools, Mapping):
            return tools
        named = cast("Mapping[str, Any]", tools).items()
        return {
            name: {"name": name, "type": "system", **cast("Mapping[str, Any]", tool)}
            if isinstance(tool, Mapping)
            else tool
            for name, tool in named
            if tool is not None
        }


class Agent(View):
    """`agent`: what the agent says and knows."""

    first_message: str = ""
    "Said first; empty: the agent waits for the user."
    language: str = "en"
    prompt: Prompt = Prompt()
    dynamic_variables: DynamicVariables = DynamicVariables()
    disable_first_message_interruptions: bool = False
    max_conversation_duration_message: str = ""
    "Said when the conversation has lasted `max_duration_seconds`."


class Asr(View):
    """`asr`: how the agent hears."""

    user_input_audio_format: AudioFormatName = "pcm_16000"
    keywords: tuple[str, ...] = ()
    "Words that callers are likely to say."


class Tts(View):
    """`tts`: how the agent sounds."""

    voice_id: str = "cjVigY5qzO86Huf0OWal"
    model_id: str = "eleven_flash_v2"
    agent_output_audio_format: AudioFormatName = "pcm_16000"
    speed: Annotated[float, Field(ge=0.5, le=2)] = 1.0
    "The API's own range is 0.7 to 1.2; engines bring it into theirs."
    stability: Share = 0.5
    similarity_boost: Share = 0.8


class SoftTimeout(View):
    """`turn.soft_timeout_config`: what is said while the model thinks for long."""

    timeout_seconds: Limit = -1.0
    message: str = "Hhmmmm...yeah."
    additional_soft_timeout_messages: tuple[str, ...] = ()
    max_soft_timeouts_per_generation: Annotated[int, Field(ge=1, le=8)] = 1
    use_llm_generated_message: bool = False
    randomize_fillers: bool = False
    disable_until_first_user_message: bool = False
    llm_generated_message_prompt_override: str | None = None


class Turn(View):
    """`turn`: who may speak when."""

    turn_timeout: Annotated[float, AfterValidator(_turn_timeout)] = 7.0
    "Seconds of the user's silence after which the agent speaks again; -1: never."
    initial_wait_time: Limit | None = None
    "The same before the user's first turn, where there is no first message; None: `turn_timeout`."
    silence_end_call_timeout: Limit = -1.0
    "Seconds since the user last spoke after which the call ends."
    mode: Literal["turn", "silence"] = "turn"
    turn_eagerness: Literal["patient", "normal", "eager"] = "normal"
    spelling_patience: Literal["auto", "off"] = "auto"
    speculative_turn: bool = False
    "Think already while the user's turn is not surely over."
    soft_timeout_config: SoftTimeout = SoftTimeout()
    interruption_ignore_terms: tuple[str, ...] = ()
    "Whole utterances, in any case, that do not interrupt the agent."
    interruption_ignore_term_languages: tuple[str, ...] = ()
    "Whose usual backchannels do not interrupt either, where `merge_with_default_ignore_terms`; empty: the agent's."
    merge_with_default_ignore_terms: bool = True
    """Whether the usual backchannels of the language ("mm-hm", "yeah") are ignored too. The API has false; ours
    is true: nobody wants an agent that falls silent at every "mm-hm"."""
    transcribe_on_disabled_interruptions: bool = False


class Conversation(View):
    """`conversation`: its medium and its bounds."""

    text_only: bool = False
    max_duration_seconds: Annotated[float, Field(gt=0)] = 600.0
    client_events: tuple[str, ...] | None = None
    "Types of events that the client gets; None: the default list. Use `effective_client_events`."


class Translation(View):
    """A text in the preset's language."""

    text: str = ""


class LanguagePreset(View):
    """What is different in another language."""

    overrides: Mapping[str, Any] = {}
    "Same shape as a client's override."
    first_message_translation: Translation | None = None
    soft_timeout_translation: Translation | None = None


_ENGINES = {"llm": "openai", "stt": "pocketsphinx", "tts": "espeak", "vad": "silero"}
"What is taken where no engine is named."


def _engine(kind: str) -> Any:
    return Field(default_factory=lambda: {"engine": _ENGINES[kind]})


class FixedLines(View):
    """`antiphon.lines`: what is said when nothing else can be; None: built-in, in the agent's language where known."""

    apology: str | None = None
    "A reply failed."
    reprompt: str | None = None
    "The user spoke and could not be understood."
    fillers: tuple[str, ...] | None = None
    "While an answer takes longer than `max_silence_seconds`, one after another."
    goodbye: str | None = None
    "The agent lost its mind or its hearing for good; said before the conversation ends."


class Antiphon(View):
    """`antiphon`, our own block: which engine does what, each `{"engine": name, ...options}`."""

    llm: Mapping[str, Any] = _engine("llm")
    stt: Mapping[str, Any] = _engine("stt")
    tts: Mapping[str, Any] = _engine("tts")
    vad: Mapping[str, Any] = _engine("vad")
    turn: Mapping[str, Any] | None = None
    'What judges from sound whether a turn is over, as `{"engine": "smart_turn"}`; None: pauses and words decide.'
    llm_fallbacks: tuple[Mapping[str, Any], ...] = ()
    "Engines that think when `llm` fails, in this order; behind them come the models of `backup_llm_config`."
    stt_fallbacks: tuple[Mapping[str, Any], ...] = ()
    tts_fallbacks: tuple[Mapping[str, Any], ...] = ()
    "The same for hearing and speaking."
    lines: FixedLines = FixedLines()
    echo_gate: bool = True
    "Whether the agent's own sound, come back through the caller's microphone, is kept from interrupting it."
    max_silence_seconds: Annotated[float, Field(ge=0)] = 3.0
    "The longest time that the agent may leave a user without any sound when it is its turn; 0: no limit."

    @field_validator("turn")
    @classmethod
    def _turn_named(cls, engine: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        return None if engine is None else cls._checked(engine, None)

    @field_validator("llm_fallbacks", "stt_fallbacks", "tts_fallbacks")
    @classmethod
    def _all_named(cls, engines: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
        return tuple(cls._checked(engine, None) for engine in engines)

    @field_validator("llm", "stt", "tts", "vad")
    @classmethod
    def _named(cls, engine: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        return cls._checked(engine, _ENGINES[info.field_name or ""])

    @staticmethod
    def _checked(engine: Mapping[str, Any], default: str | None) -> Mapping[str, Any]:
        name = engine.get("engine", default)
        if not isinstance(name, str) or not name:
            raise PydanticCustomError("engine", "should name its engine")
        return {**engine, "engine": name}


class ConversationConfig(View):
    """`conversation_config`."""

    agent: Agent = Agent()
    asr: Asr = Asr()
    tts: Tts = Tts()
    turn: Turn = Turn()
    conversation: Conversation = Conversation()
    language_presets: Mapping[str, LanguagePreset] = {}
    antiphon: Antiphon = Antiphon()

    @property
    def effective_client_events(self) -> frozenset[str]:
        """Types of events that this agent's clients get. An empty list leaves those without which nothing works."""
        listed = self.conversation.client_events
        return ALWAYS_SENT | (DEFAULT_CLIENT_EVENTS if listed is None else frozenset(listed))


# -------------------------------------------------------------------------------------------------- platform_settings


class AllowedHost(View):
    """One entry of `auth.allowlist`."""

    hostname: str


class Auth(View):
    """`auth`: who may start a conversation."""

    enable_auth: bool = False
    "Only with a signed address or the workspace key."
    allowlist: tuple[AllowedHost, ...] = ()
    "Pages that may; empty: all."
    require_origin_header: bool = False
    "Whether a client without an Origin header, which is no page, is refused too while there is a list."
    shareable_token: str | None = None
    "Who shows it is let in, as with a signed address that never expires."


class Overrides(View):
    """`overrides`: what a client may change for its conversation."""

    conversation_config_override: Mapping[str, Any] = {}
    "The tree of an override with true or false at its leaves; what is not there is not allowed."
    custom_llm_extra_body: bool = False
    enable_conversation_initiation_client_data_from_webhook: bool = False


class CallLimits(View):
    """`call_limits`."""

    agent_concurrency_limit: int = -1
    "-1: none."
    daily_limit: int = 100_000
    bursting_enabled: bool = True


class QueueingConfig(View):
    """`queueing_config`: whether callers wait while all places of the agent are taken."""

    enabled: bool = False
    wait_timeout_seconds: float = 180.0


class Privacy(View):
    """`privacy`: what is kept, and for how long."""

    record_voice: bool = True
    retention_days: int = -1
    "-1: for ever."
    delete_transcript_and_pii: bool = False
    delete_audio: bool = False
    zero_retention_mode: bool = False


class PlatformSettings(View):
    """`platform_settings`."""

    auth: Auth = Auth()
    overrides: Overrides = Overrides()
    call_limits: CallLimits = CallLimits()
    queueing_config: QueueingConfig = QueueingConfig()
    privacy: Privacy = Privacy()


# -------------------------------------------------------------------------------------------------------- the agent


class AgentDocument(View):
    """The whole document, as far as it is understood."""

    name: str = ""
    conversation_config: ConversationConfig
    platform_settings: PlatformSettings = PlatformSettings()


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """An agent: as its document has it, or, out of `initiation.initiate`, as it is in one conversation."""

    agent_id: str
    name: str
    "Its id, where the document has no name."
    raw: Mapping[str, Any]
    "The document, whole; not to be changed."
    conversation_config: ConversationConfig
    platform_settings: PlatformSettings
    path: str = ""
    "The file it came from, for error messages."
    custom_llm_extra_body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    "What this conversation's client adds to requests of a custom language model."
    dynamic_variables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    "The variables of this conversation, secrets included: for tools, never for a prompt."
    origin: AgentConfig | None = None
    "Of an agent in one conversation: the agent as its document has it. To that another language is applied."
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    "What holds in this conversation, whatever the language: the tree that lies over `conversation_config`."

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, agent_id: str, path: str = "") -> AgentConfig:
        """An agent from its JSON. `path`: the file, for error messages. The document is copied.

        Raises:
            ConfigError: something in it is missing or impossible; the error's path is the file and the JSON path.
        """
        raw = copy.deepcopy(dict(document))
        views = read(AgentDocument, raw, path=path)
        return cls(
            agent_id=agent_id,
            name=views.name or agent_id,
            raw=raw,
            conversation_config=views.conversation_config,
            platform_settings=views.platform_settings,
            path=path,
        )

    def place(self, location: str) -> str:
        """Where a setting of this agent stands, for a ConfigError: its file, then `location`, a JSON path."""
        return place(self.path, location)
