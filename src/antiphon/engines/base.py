"""The seams of hearing, thinking and speaking: what an engine must do, and the values that pass through.

An engine is any object with these methods; it inherits nothing. A factory, found by name through the registry, makes it
from its options once per agent; what belongs to one caller (a decoder, a recurrent state) lives in the stream objects
that the engine hands out, one per live conversation.

Audio inside is always s16le mono. Speech-to-text and voice activity take 16 kHz; text-to-speech says its own rate.
Engines raise EngineError when they fail, ConfigError when they cannot be made, and must bear being cancelled at any
await: closing an iterator or a stream ends the work behind it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

SAMPLE_RATE = 16_000
"Samples per second of everything that voice activity and speech-to-text are given."

CONTEXT_PREFIX = "Contextual update: "
"How a system message begins that carries a client's contextual update (protocol.md C5) instead of instructions."

SILENT_USER = "..."
"What the user's message holds where the user said nothing and the agent is to speak again."


T = TypeVar("T")


@asynccontextmanager
async def closing(stream: AsyncIterator[T]) -> AsyncGenerator[AsyncIterator[T]]:
    """Whatever happens, the work behind an engine's stream ends with this block."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()


class EngineContext(msgspec.Struct, frozen=True):
    """What a factory is told besides its own options."""

    agent_id: str = ""
    language: str = "en"
    "The agent's language code (`conversation_config.agent.language`)."
    keywords: Sequence[str] = ()
    "`conversation_config.asr.keywords`: words that callers are likely to say."
    phrasings: Sequence[str] = ()
    "Whole sentences that callers may say, from the agent's author (rule examples)."
    agent_texts: Sequence[str] = ()
    "What the agent itself says: first message, script. Its words are likely on the caller's side too."
    backchannels: Sequence[str] = ()
    'What callers say while they only listen ("mm-hm"): mistaken for another word, it would interrupt the agent.'
    voice_id: str = ""
    speed: float = 1.0
    "`conversation_config.tts`."
    model: str = ""
    temperature: float | None = None
    max_tokens: int = -1
    "`conversation_config.agent.prompt`: llm, temperature, max_tokens (-1: no limit)."
    custom_llm: Mapping[str, Any] | None = None
    "`conversation_config.agent.prompt.custom_llm`, its secrets already resolved to text under `api_key`."
    models: Mapping[str, Mapping[str, Any]] = {}
    "The operator's map from model-name pattern to `base_url`, `model`, `api_key` (setting `llm_models`)."


# ------------------------------------------------------------------------------------------------------- hearing


class VoiceActivity(Protocol):
    """One caller's detector. It has memory: frames must be fed in order, none left out."""

    frame_samples: int
    "Samples of one frame at 16 kHz (512 = 32 ms)."

    def score(self, frame: bytes) -> float:
        """How much this frame sounds like speech, 0 to 1. `frame`: exactly `frame_samples` samples. Runs inline."""
        ...


class VoiceActivityModel(Protocol):
    """Makes detectors."""

    def stream(self) -> VoiceActivity:
        """A fresh detector for one caller."""
        ...


class Transcript(msgspec.Struct, frozen=True):
    """What speech-to-text heard of one utterance."""

    text: str
    "Empty in a final one: there was sound, but nothing that could be understood with confidence."
    final: bool
    "Exactly one final transcript answers each `finish()`."


class Recognition(Protocol):
    """One caller's stream of utterances."""

    def feed(self, audio: bytes) -> None:
        """The next piece of the utterance (s16le, 16 kHz, any length). Returns at once."""
        ...

    def finish(self) -> None:
        """The utterance is complete: a final transcript follows, then the next utterance begins. Returns at once."""
        ...

    def discard(self) -> None:
        """Forget what was fed since the last `finish()`; no transcript follows. Returns at once."""
        ...

    def transcripts(self) -> AsyncIterator[Transcript]:
        """Partial and final transcripts, in order, until the stream is closed. Iterated once."""
        ...


class SpeechToText(Protocol):
    """A recogniser, loaded once per agent."""

    async def prepare(self) -> None:
        """Load what is slow to load; called once before the first stream. Raises ConfigError or EngineError."""
        ...

    def stream(self) -> AbstractAsyncContextManager[Recognition]:
        """One caller's stream; leaving the context frees what it holds."""
        ...

    async def aclose(self) -> None:
        """Free everything."""
        ...


@runtime_checkable
class Guessing(Protocol):
    """What speech-to-text may say besides, if its partial transcripts begin as guesses."""

    @property
    def sure_after(self) -> float:
        """Seconds of speech before which a partial transcript says little about what is being said."""
        ...


@runtime_checkable
class Interjected(Protocol):
    """What a stream of utterances may do besides, if it listens differently to what is said over the agent."""

    def over_agent(self) -> None:
        """The utterance under way, fed in part already, began while the agent spoke: it may be a backchannel, or the
        beginning of an interruption. Returns at once."""
        ...


class TurnDetector(Protocol):
    """Says from sound alone whether a turn is complete. Asked once per pause; shared by an agent's callers."""

    async def prepare(self) -> None:
        """Load what is slow to load; called once before the first question. Raises ConfigError or EngineError."""
        ...

    async def complete(self, audio: bytes) -> float:
        """Probability that the turn is over. `audio`: s16le 16 kHz, up to the last 8 s, its pause included.

        Cancelled when the user goes on: then nothing waits for the answer. Raises EngineError.
        """
        ...

    async def aclose(self) -> None:
        """Free everything."""
        ...


# ------------------------------------------------------------------------------------------------------ thinking


class ToolCall(msgspec.Struct, frozen=True):
    """The model wants a tool run."""

    id: str
    name: str
    parameters: dict[str, Any]


class Message(msgspec.Struct, frozen=True):
    """One entry of the context, as every chat model understands it."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    "Of an assistant's message."
    tool_call_id: str = ""
    "Of a tool's message: which call `text` is the result of."
    is_error: bool = False
    "Of a tool's message: the call failed and `text` says how."


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool the model may call."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    "JSON schema of the arguments, an object."


class TextDelta(msgspec.Struct, frozen=True):
    """The next piece of the answer, to be spoken."""

    text: str


class Usage(msgspec.Struct, frozen=True):
    """Tokens of this answer, where the model says so."""

    input_tokens: int
    output_tokens: int


Thought: TypeAlias = TextDelta | ToolCall | Usage


class Request(msgspec.Struct, frozen=True):
    """One question to the model."""

    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    user_id: str | None = None
    extra_body: Mapping[str, Any] = {}
    "The client's `custom_llm_extra_body`, where the agent allows it."


class LanguageModel(Protocol):
    """A chat model."""

    async def prepare(self) -> None:
        """Check what can be checked before the first call. Raises ConfigError."""
        ...

    def reply(self, request: Request) -> AsyncIterator[Thought]:
        """The answer as it comes. Closing the iterator ends the request. Raises EngineError."""
        ...

    async def aclose(self) -> None:
        """Free connections."""
        ...


@runtime_checkable
class Scripted(Protocol):
    """What a language model may offer besides, if its words are known beforehand: speech-to-text listens for them."""

    @property
    def phrasings(self) -> Sequence[str]:
        """Whole sentences that callers may say (EngineContext.phrasings)."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """What the agent itself may say (EngineContext.agent_texts)."""
        ...


# ------------------------------------------------------------------------------------------------------ speaking


class Speech(msgspec.Struct, frozen=True):
    """A piece of spoken text."""

    audio: bytes
    "s16le mono at the engine's `sample_rate`; any length above zero."
    chars: Sequence[str] = ()
    "The characters that begin to sound in this piece, in the text's own order; all pieces together: the text."
    starts: Sequence[float] = ()
    "Seconds from this piece's start at which each begins."
    durations: Sequence[float] = ()
    "Seconds for which each sounds."


class TextToSpeech(Protocol):
    """A voice, loaded once per agent."""

    sample_rate: int

    async def prepare(self) -> None:
        """Load what is slow to load. Raises ConfigError or EngineError."""
        ...

    def speak(self, text: str) -> AsyncIterator[Speech]:
        """One clause as sound, first piece as early as possible, no silence before it. Closing the iterator stops it.

        Engines without timings leave `chars` empty; who plays it then assumes an even pace. Raises EngineError.
        """
        ...

    async def aclose(self) -> None:
        """Free everything."""
        ...


class Voice(msgspec.Struct, frozen=True):
    """A voice that can be chosen by its id."""

    id: str
    name: str
    language: str = ""
    "The language code of what it speaks; empty: any."
    accent: str = ""
    gender: str = ""
    "`female`, `male`; both empty where the engine does not say."


@runtime_checkable
class Voiced(Protocol):
    """What text-to-speech may say besides: which voices it has."""

    async def voices(self) -> Sequence[Voice]:
        """Those to choose from. Raises EngineError."""
        ...

    async def voice(self, voice_id: str) -> Voice | None:
        """The voice of that id, which need not be one of `voices`; None: there is none. Raises EngineError."""
        ...
