"""An agent on a server that speaks the ElevenLabs Agents protocol, as Scenario talks to it.

It can be talked to in two ways. `tail` is that of Scenario's first adapter: a turn is one message, and a fixed length
of silence after it. `1.6` is that of langwatch-scenario 1.6.0: an open microphone, in real time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal, TypeAlias, cast
from urllib.parse import quote

import websockets
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from antiphon.client.address import build_ws_url, is_loopback
from antiphon.errors import SessionError
from antiphon.protocol import codec
from antiphon.protocol.events import ClientEvent, Pong, UnknownEvent, UserAudio, UserMessage

from . import signed_url, wire
from .adapter import VoiceAgentAdapter
from .audio_chunk import AUDIO_FORMAT, AudioChunk
from .capabilities import AdapterCapabilities
from .microphone import Microphone
from .rest import base_url_of

__all__ = ["CONVAI_URL_TEMPLATE", "SILENCE_TAIL_BYTES", "ElevenLabsAgentAdapter", "Mode", "TurnCommitMode"]

CONVAI_URL_TEMPLATE = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id={agent_id}"
_PUBLISHED = CONVAI_URL_TEMPLATE
"Where agents are dialled directly. Replace it to dial another server: it is read at each connect."
SILENCE_TAIL_BYTES = 16_000
"Of silence after a turn: 333 ms at 24 kHz."
RECEIVE_CEILING = 45.0
"Seconds that a server which only pings is waited for in mode 1.6."

Mode: TypeAlias = Literal["tail", "1.6"]
TurnCommitMode: TypeAlias = Literal["audio", "text", "silence"]

_SPEAKING = frozenset({"audio", "agent_tool_request", "agent_tool_response", "mcp_tool_call"})
"After its first sound, what shows that the agent is not done with its turn (mode 1.6)."
_HANGING_UP = frozenset({"end_call", "transfer_to_agent", "transfer_to_number", "transfer_to_genesys"})
"System tools after which there is nobody to talk to."
_RECONCILE = 0.4
"Seconds that are given to what is still on its way when the user's turn begins."
_RECONCILE_PAUSE = 0.12
"Seconds without sound after which nothing is."

_log = logging.getLogger(__name__)


class ElevenLabsAgentAdapter(VoiceAgentAdapter):
    """An agent on a server: it hears, thinks and speaks there. Sound is PCM16 at 24 kHz both ways, never converted.

    For hearing, thinking and speaking put together on your side, see ElevenLabsVoiceAgent.

    `api_key`: sent with the handshake, or with the request for a signed URL. `system_prompt_override`,
    `first_message_override`, `overrides` (merged below the two) and `dynamic_variables`: for each conversation, as far
    as the agent permits them. `mode`: how turns are told, see the module. `base_url`: another server than that of
    CONVAI_URL_TEMPLATE. In mode 1.6 it is asked for a signed URL, and by default it is ELEVENLABS_BASE_URL;
    `mint=False`: the template all the same. `turn_commit_mode`, in mode 1.6: the user's sound and silence until the
    agent speaks (`audio`), its words alone (`text`), or its sound and `silence_tail_bytes` of silence (`silence`).
    `receive_ceiling`: seconds after which `recv_audio` gives up however much the server pings; None: never, in mode 1.6
    after 45 s but not before its own timeout.

    Raises:
        ValueError: an unknown mode, a tail that is none, or a base_url that is no address or ends in /v1.
    """

    capabilities: ClassVar[AdapterCapabilities] = AdapterCapabilities(
        streaming_transcripts=True,
        native_vad=True,
        dtmf=False,
        input_formats=["pcm16/24000"],
        output_formats=["pcm16/24000"],
    )

    def __init__(
        self,
        agent_id: str,
        api_key: str,
        *,
        system_prompt_override: str | None = None,
        first_message_override: str | None = None,
        mode: Mode = "tail",
        base_url: str | None = None,
        mint: Any = None,
        dynamic_variables: dict[str, Any] | None = None,
        overrides: dict[str, Any] | None = None,
        turn_commit_mode: TurnCommitMode = "audio",
        silence_tail_bytes: int = SILENCE_TAIL_BYTES,
        receive_ceiling: float | None = None,
    ) -> None:
        super().__init__()
        if mode not in ("tail", "1.6"):
            raise ValueError(f"mode must be 'tail' or '1.6', not {mode!r}")
        if turn_commit_mode not in ("audio", "text", "silence"):
            raise ValueError(f"turn_commit_mode must be 'audio', 'text' or 'silence', not {turn_commit_mode!r}")
        if silence_tail_bytes <= 0 or silence_tail_bytes % 2:
            raise ValueError(
                f"silence_tail_bytes must be a positive number of 16-bit samples, not {silence_tail_bytes}"
            )
        self.agent_id = agent_id
        self.api_key = api_key
        self.mode: Mode = mode
        self.turn_commit_mode: TurnCommitMode = turn_commit_mode
        self.receive_ceiling = RECEIVE_CEILING if receive_ceiling is None and mode == "1.6" else receive_ceiling
        self.last_user_transcript: str | None = None
        "What the agent understood last."
        self.last_agent_transcript: str | None = None
        "What it said last; where it was interrupted, what of it was heard."
        self.conversation_id: str | None = None
        "The server's name for the conversation; None before it has told it."
        self.audio_commit_count = 0
        "Turns of the user that were sent as sound."
        self.agent_hung_up = False
        self._system_prompt = system_prompt_override
        self._first_message = first_message_override
        self._overrides = overrides
        self._dynamic_variables = dynamic_variables
        self._tail = bytes(silence_tail_bytes)
        self._mint = signed_url.endpoint(mint, base_url, api_key) if mode == "1.6" else None
        self._base_url = base_url_of(base_url) if mode == "tail" and base_url is not None else None
        self._broker_session_id = ""
        self._ws: Any = None
        self._microphone = Microphone(self._send_frame)
        self._half_sample = b""
        "The first byte of a sample whose second one is still to come."
        self._words = ""
        "What the agent says in sound that is still to come."
        self._tools_running = 0
        self._tool_turn = False
        "Whether the agent has used a tool and not spoken since."

    @property
    def url(self) -> str:
        """The socket to dial where there is no signed URL."""
        if self._base_url is not None:
            return _socket(self._base_url, self.agent_id)
        return CONVAI_URL_TEMPLATE.format(agent_id=quote(self.agent_id, safe=""))

    @property
    def brokered(self) -> bool:
        """Whether a LangWatch gateway stands between this conversation and the server."""
        return self._broker_session_id != ""

    @property
    def awaiting_user_turn(self) -> bool:
        """Whether the agent has spoken since the user did."""
        return self._microphone.paused

    def __repr__(self) -> str:
        return f"ElevenLabsAgentAdapter(agent_id={self.agent_id!r}, api_key='***')"

    # -------------------------------------------------------------------------------------------------- connection

    def is_connected(self) -> bool:
        """Whether the socket is open."""
        if self._ws is None:
            return False
        state = getattr(self._ws, "state", None)
        return state is State.OPEN if state is not None else not getattr(self._ws, "closed", False)

    async def connect(self) -> None:
        """Begin a conversation.

        Raises:
            AuthError: the key is refused where signed URLs are had.
            SessionError: no signed URL was had, other than by 404: then the agent is dialled directly, with a warning.
            OSError: nobody answers at the socket's address.
            websockets.exceptions.InvalidHandshake: the server refuses the conversation.
        """
        url, headers = await self._address()
        # By this name: tests replace websockets.connect. No proxy leads to one's own machine.
        direct: Mapping[str, Any] = {"proxy": None} if is_loopback(url) else {}
        self._ws = await websockets.connect(url, additional_headers=headers, **direct)
        self.conversation_id = self.last_user_transcript = self.last_agent_transcript = None
        self.agent_hung_up = False
        self.audio_commit_count = 0
        self._begin_user_turn()
        with suppress(ConnectionClosed):  # recv_audio tells it
            await self._send(UnknownEvent(message=self._initiation()))
        if self.mode == "1.6":
            self._microphone.start()

    async def _address(self) -> tuple[str, dict[str, str]]:
        self._broker_session_id = ""
        if self._mint is not None:
            signed = await signed_url.mint(self._mint, self.agent_id)
            if signed is not None:
                self._broker_session_id = signed.session_id
                return signed.url, {}
            _log.warning("%s has no signed URL for the agent (404): dialling directly", self._mint.base_url)
            if CONVAI_URL_TEMPLATE == _PUBLISHED:  # the key stays with the server that it is for
                return _socket(self._mint.base_url, self.agent_id), {"xi-api-key": self.api_key}
        return self.url, {"xi-api-key": self.api_key}

    def _initiation(self) -> dict[str, Any]:
        """Sent in every conversation, with what there is alone: an empty object may mean something else than none."""
        agent: dict[str, Any] = {}
        if self._system_prompt:
            agent["prompt"] = {"prompt": self._system_prompt}
        if self._first_message:
            agent["first_message"] = self._first_message
        override = _merged(self._overrides or {}, {"agent": agent})
        first = {"type": "conversation_initiation_client_data", "conversation_config_override": override}
        return first if self._dynamic_variables is None else first | {"dynamic_variables": self._dynamic_variables}

    async def disconnect(self) -> None:
        """End the conversation; nothing happens where there is none."""
        await self._microphone.stop()
        socket, self._ws = self._ws, None
        if socket is None:
            return
        try:
            await socket.close()
        except (ConnectionClosed, OSError, RuntimeError):
            _log.debug("the socket was not closed in good order", exc_info=True)

    # -------------------------------------------------------------------------------------------------------- out

    async def send_audio(self, chunk: AudioChunk) -> None:
        """Say one turn of the user. In mode 1.6, it is on its way when this returns, not said.

        Raises:
            SessionError: not connected.
            websockets.exceptions.ConnectionClosed: no longer connected (mode `tail`, and turns sent as text).
        """
        self._socket()
        words = (chunk.transcript or "").strip()
        if self.mode == "tail":
            self._begin_user_turn()
            self.audio_commit_count += bool(chunk.data)
            await self._send(UserAudio(chunk.data))
            await self._send(UserAudio(self._tail))
        elif self.turn_commit_mode == "text" and words:
            self._begin_user_turn()
            await self._send(UserMessage(text=words))
        else:
            self.enqueue_speech(chunk.data)
            if self.turn_commit_mode != "audio":
                self._microphone.say(self._tail)

    def enqueue_speech(self, data: bytes) -> None:
        """Have the open microphone of mode 1.6 say one turn of the user; of nothing, no turn is made."""
        if data:
            self._begin_user_turn()
            self.audio_commit_count += 1
            self._microphone.say(data)

    def _begin_user_turn(self) -> None:
        self._microphone.paused = False
        self._half_sample = b""
        self._words = ""
        self._tools_running = 0
        self._tool_turn = False

    async def _send_frame(self, audio: bytes) -> None:
        await self._send(UserAudio(audio))

    async def _send(self, event: ClientEvent) -> None:
        await self._socket().send(codec.encode_client(event))

    def _socket(self) -> Any:
        if self._ws is None:
            raise SessionError("ElevenLabsAgentAdapter: not connected")
        return self._ws

    # --------------------------------------------------------------------------------------------------------- in

    async def recv_audio(self, timeout: float) -> AudioChunk:
        """The next piece of the agent's speech, with its words where they are known.

        `timeout`: seconds without any message; each one, a ping too, begins them anew. In mode 1.6, once the agent has
        spoken, only its sound and its tools do. An empty piece: the server has closed the socket, or sent empty sound;
        in mode 1.6 also a `client_tool_call`, which nobody here answers.

        Raises:
            TimeoutError: nothing came for so long, or `receive_ceiling` is over; the message says which.
            SessionError: not connected.
        """
        socket = self._socket()
        loop = asyncio.get_running_loop()
        ceiling = math.inf if self.receive_ceiling is None else self.receive_ceiling
        if self.mode == "1.6":
            ceiling = max(ceiling, timeout)
        last = loop.time() + ceiling
        patience = self._patience(timeout)
        deadline = loop.time() + patience
        kinds: dict[str, int] = {}
        while True:
            if loop.time() >= min(deadline, last):  # messages that are here already are read without a pause
                raise self._timed_out(patience, ceiling, kinds, by_ceiling=last <= deadline)
            try:
                async with asyncio.timeout_at(min(deadline, last)):
                    frame = await socket.recv()
            except TimeoutError:
                raise self._timed_out(patience, ceiling, kinds, by_ceiling=last <= deadline) from None
            except ConnectionClosed:
                return AudioChunk(data=b"")
            message = wire.read(frame)
            kind = message.type if message is not None else ""
            kinds[kind] = kinds.get(kind, 0) + 1
            self._count_tools(kind)
            if self._is_a_sign_of_life(kind):
                patience = self._patience(timeout)
                deadline = loop.time() + patience
            if message is None:
                _log.debug("a message that is no JSON object is ignored")
            elif (chunk := await self._take(message)) is not None:
                return chunk

    def _patience(self, timeout: float) -> float:
        """Seconds without a sign of life. A tool may be silent for as long as an answer may take to begin."""
        return max(timeout, self.response_timeout) if self.mode == "1.6" and self._tool_turn else timeout

    def _is_a_sign_of_life(self, kind: str) -> bool:
        """Whether the wait begins anew.

        Pings after the agent's last word would make it seem never to end, so 1.6 does not count them then.
        """
        return self.mode == "tail" or self._tool_turn or not self.awaiting_user_turn or kind in _SPEAKING

    def _timed_out(
        self, patience: float, ceiling: float, kinds: Mapping[str, int], *, by_ceiling: bool
    ) -> TimeoutError:
        if by_ceiling and kinds:
            came = ", ".join(f"{count} {kind or 'unreadable'}" for kind, count in kinds.items())
            return TimeoutError(
                f"ElevenLabsAgentAdapter: recv_audio timed out. No audio within the receive ceiling of {ceiling:g} s, "
                f"though the server sent messages ({came}): is a tool hanging, or has the agent nothing to say?"
            )
        return TimeoutError(
            f"ElevenLabsAgentAdapter: recv_audio timed out. No message for {patience:g} s: does the server "
            "take the user's turn for ended?"
        )

    def _count_tools(self, kind: str) -> None:
        if kind == "agent_tool_request":
            self._tools_running += 1
            self._tool_turn = True
        elif kind == "agent_tool_response":
            self._tools_running = max(0, self._tools_running - 1)

    async def _take(self, message: wire.Message) -> AudioChunk | None:
        """Act on a message. The piece of sound that ends the wait; None: it goes on."""
        match message.type:
            case "audio":
                return self._heard(message)
            case "ping":
                await self._answer(message)
            case "user_transcript":
                self.last_user_transcript = message.text("user_transcription_event", "user_transcript")
            case "agent_response":
                self.last_agent_transcript = message.text("agent_response_event", "agent_response")
                self._words = (self.last_agent_transcript or "").strip()
            case "agent_response_correction":
                corrected = message.text("agent_response_correction_event", "corrected_agent_response")
                self.last_agent_transcript = corrected or self.last_agent_transcript
            case "interruption":
                self._half_sample = b""  # its other half is never going to come
            case "conversation_initiation_metadata":
                self._check_formats(message)
            case "agent_tool_response":
                self.agent_hung_up = self.agent_hung_up or message.has_run_tool in _HANGING_UP
            case "client_tool_call" if self.mode == "1.6":
                return AudioChunk(data=b"")
            case _:
                _log.debug("a message of type %r is ignored", message.type)
        return None

    def _heard(self, message: wire.Message) -> AudioChunk | None:
        audio = message.audio
        if audio is None:
            _log.warning("an audio message cannot be read and is ignored")
            return None
        self._microphone.paused = True
        if not self._tools_running:
            self._tool_turn = False
        if not audio:
            return AudioChunk(data=b"")
        audio = self._half_sample + audio
        whole = len(audio) - len(audio) % 2
        self._half_sample = audio[whole:]
        if not whole:
            return None
        words, self._words = self._words, ""
        return AudioChunk(data=audio[:whole], transcript=words or None)

    async def _answer(self, ping: wire.Message) -> None:
        if ping.ping_id is None:
            _log.debug("a ping without an id cannot be answered")
            return
        try:
            await self._send(Pong(event_id=ping.ping_id))
        except ConnectionClosed:
            _log.debug("the socket closed before a ping was answered")

    def _check_formats(self, metadata: wire.Message) -> None:
        payload = "conversation_initiation_metadata_event"
        self.conversation_id = metadata.text(payload, "conversation_id")
        effects = {
            "agent_output_audio_format": "its sound is not converted, and plays at the wrong speed",
            "user_input_audio_format": "what is sent to it is not converted, and it hears it at the wrong speed",
        }
        for name, effect in effects.items():
            found = metadata.text(payload, name)
            if found and found != AUDIO_FORMAT:
                _log.warning("the agent's %s is %r, not %r: %s", name, found, AUDIO_FORMAT, effect)

    async def reconcile_pending_audio(self) -> AudioChunk | None:
        """Sound of the agent's last turn that came after the turn was taken for over; None: there is none.

        Scenario's executor asks for it before the user's next turn, up to 0.4 s.
        """
        if not self.is_connected():
            return None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _RECONCILE
        audio: list[bytes] = []
        try:
            async with asyncio.timeout_at(deadline):
                while chunk := (await self.recv_audio(_RECONCILE_PAUSE)).data:
                    audio.append(chunk)
        except TimeoutError:
            pass
        return AudioChunk(data=b"".join(audio)) if audio else None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, object by object; where they differ, what is above."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[name] = _merged(cast("dict[str, Any]", old), cast("dict[str, Any]", value)) if both else value
    return merged


def _socket(base_url: str, agent_id: str) -> str:
    return build_ws_url(base_url, ("v1", "convai", "conversation"), {"agent_id": agent_id})
