"""Prints, as one JSON object, what a conversation module looks like from outside: names, signatures, URLs, frames.

    python surface.py elevenlabs.conversational_ai.conversation
    python surface.py antiphon.conversational_ai.conversation

The same program for either, so that the two can be compared. Opens no socket; imports nothing of Antiphon by itself.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import sys
import types
import warnings
from typing import Any

module = importlib.import_module(sys.argv[1])
CLASSES = (
    "Conversation",
    "AsyncConversation",
    "BaseConversation",
    "ClientTools",
    "ConversationInitiationData",
    "OnPremInitiationData",
    "PostCallWebhookConfig",
    "AudioInterface",
    "AsyncAudioInterface",
    "AudioEventAlignment",
    "AgentChatResponsePartType",
    "ClientToOrchestratorEvent",
    "DisconnectionDetails",
    "UserMessageClientToOrchestratorEvent",
    "UserActivityClientToOrchestratorEvent",
    "ContextualUpdateClientToOrchestratorEvent",
    "MultimodalMessageFile",
    "MultimodalMessageClientToOrchestratorEvent",
)
OTHERS = (
    "connect",
    "Connection",
    "websockets",
    "ConnectionClosed",
    "ConnectionClosedOK",
    "logger",
    "build_ws_url",
    "__version__",
)
PRIVATE = (
    "_get_wss_url",
    "_get_signed_url",
    "_create_initiation_message",
    "_create_on_prem_initiation_message",
    "_run",
    "_end_session",
    "_handle_message",
    "_handle_message_core",
    "_handle_message_core_async",
)
BASES = (
    "https://api.elevenlabs.io",
    "https://api.us.elevenlabs.io",
    "https://api.eu.residency.elevenlabs.io",
    "https://api.in.residency.elevenlabs.io",
    "http://localhost:8000",
    "http://localhost:8000/",
    "https://example.com/prefix/",
    "https://user@example.com:8443/a%20b",
    "wss://example.com",
)
AGENTS = ("agent_1", "a b/c?d&e", "größe-名", "")
SIGNED = (
    "wss://x.io/v1/convai/conversation?agent_id=a&conversation_signature=cvtkn_1",
    "wss://x.io/path?empty=&b=%20+x#fragment",
    "wss://x.io/path",
    "wss://signed.url",
)


def parameters(function: Any) -> list[list[str]]:
    """Names, kinds and defaults, in order."""
    return [
        [one.name, one.kind.name, "" if one.default is one.empty else repr(one.default)]
        for one in inspect.signature(function).parameters.values()
    ]


def surface(kind: type[Any]) -> dict[str, Any]:
    """Public methods, `__init__` and the private ones that are used, as the class has or inherits them."""
    if issubclass(kind, enum.Enum):
        return {member.name: member.value for member in kind}
    names = {n for n in dir(kind) if not n.startswith("_") and inspect.isroutine(getattr(kind, n))}
    names |= {n for n in PRIVATE if hasattr(kind, n)} | {"__init__"}
    return {
        name: {"parameters": parameters(getattr(kind, name)), "async": inspect.iscoroutinefunction(getattr(kind, name))}
        for name in sorted(names)
    }


class Device(module.AudioInterface):  # type: ignore[misc, name-defined]
    """A sound device that does nothing."""

    def start(self, input_callback: Any) -> None: ...

    def stop(self) -> None: ...

    def output(self, audio: bytes) -> None: ...

    def interrupt(self) -> None: ...


def client(base_url: str = "", signed_url: str = "") -> Any:
    """What a conversation asks of a client object."""
    answer = types.SimpleNamespace(signed_url=signed_url)
    conversations = types.SimpleNamespace(get_signed_url=lambda *, agent_id, environment: answer)
    return types.SimpleNamespace(
        _client_wrapper=types.SimpleNamespace(get_base_url=lambda: base_url),
        conversational_ai=types.SimpleNamespace(conversations=conversations),
    )


def conversation(**options: Any) -> Any:
    """A conversation that is never started."""
    given = {"client": client(), "agent_id": "a", "requires_auth": False, "audio_interface": Device()} | options
    made = module.Conversation(**given)
    made.client_tools.stop()
    return made


def urls() -> dict[str, str]:
    """The addresses of sockets, signed and not."""
    found = {}
    for base in BASES:
        for agent in AGENTS:
            for environment in (None, "", "staging & more"):
                made = conversation(client=client(base), agent_id=agent, environment=environment)
                found[f"{base} {agent} {environment}"] = made._get_wss_url()
    for signed in SIGNED:
        found[signed] = conversation(client=client(signed_url=signed), requires_auth=True)._get_signed_url()
    return found


def frames() -> dict[str, str]:
    """What is sent, as text."""
    data, hook = module.ConversationInitiationData, module.PostCallWebhookConfig
    found = {
        "plain": conversation()._create_initiation_message(),
        "user": conversation(user_id="ü")._create_initiation_message(),
        "config": conversation(
            config=data({"temperature": 0.5}, {"agent": {"first_message": 'Grüß\n"Gott" 👋'}}, {"n": 1, "b": None})
        )._create_initiation_message(),
        "text only, told so": conversation(
            audio_interface=None,
            config=data(conversation_config_override={"text_only": True, "conversation": {"text_only": True}}),
        )._create_initiation_message(),
    }
    setups = {
        "bare": {},
        "urls": {"post_call_transcription_webhook_url": "https://x/t", "post_call_audio_webhook_url": "https://x/a"},
        "hooks": {
            "post_call_transcription_webhook": hook("https://x/t", "s" * 16),
            "post_call_audio_webhook": hook("y"),
        },
        "all": {
            "agent_config_dict": {"ü": 1},
            "override_agent_config_list": [{"b": 2}],
            "tools_config_list": [{"c": 3}],
            "prompt_knowledge_base": ["k"],
            "bedrock_inference_profile": "global",
            "extra_setup_config": {"z_new": 1, "a_new": None},
        },
    }
    for name, setup in setups.items():
        config = module.OnPremInitiationData("ws://x/y?conversation_id=1", **setup)
        found[f"setup {name}"] = conversation(on_prem_config=config)._create_on_prem_initiation_message()
    made = conversation()
    sent: list[str] = []
    made._ws = types.SimpleNamespace(send=sent.append)
    made.send_user_message("Grüße 👋\u2028")
    made.send_contextual_update('a "quote"')
    made.register_user_activity()
    made.send_multimodal_message("look", file_id="f")
    made.send_multimodal_message(file_ids=["f", "g"], file_id="h")
    made.send_multimodal_message(text="only")
    return found | {f"said {number}": text for number, text in enumerate(sent)}


def errors() -> dict[str, list[str]]:
    """What is raised where something is wrong: the class that programs catch, and the text."""
    on_prem, hook, tools = module.OnPremInitiationData, module.PostCallWebhookConfig("x"), module.ClientTools()
    tools.register("t", print)
    attempts: dict[str, Any] = {
        "wait before start": lambda: conversation().wait_for_session_end(),
        "send before start": lambda: conversation().send_user_message("x"),
        "multimodal before start": lambda: conversation().send_multimodal_message(),
        "both transcription hooks": lambda: on_prem(
            "x", post_call_transcription_webhook_url="x", post_call_transcription_webhook=hook
        ),
        "both audio hooks": lambda: on_prem("x", post_call_audio_webhook_url="x", post_call_audio_webhook=hook),
        "extra no dict": lambda: on_prem("x", extra_setup_config=[]),
        "extra reserved": lambda: on_prem("x", extra_setup_config={"type": 1, "agent_config_dict": 2, "new": 3}),
        "tool no function": lambda: tools.register("x", "no function"),
        "tool twice": lambda: tools.register("t", print),
        "tools not started": lambda: tools.execute_tool("t", {}, print),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = ["nothing", ""]
        except (RuntimeError, ValueError) as error:
            found[name] = ["RuntimeError" if isinstance(error, RuntimeError) else "ValueError", str(error)]
    return found


def warned() -> list[str]:
    """What the constructor warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        conversation(callback_end_session=print)
    return [f"{one.category.__name__} {one.message} {one.filename == __file__}" for one in caught]


report = {
    "missing": [name for name in (*CLASSES, *OTHERS) if not hasattr(module, name)],
    "classes": {name: surface(getattr(module, name)) for name in CLASSES if hasattr(module, name)},
    "urls": urls(),
    "frames": frames(),
    "errors": errors(),
    "warned": warned(),
}
print(json.dumps(report).replace(module.__version__, "VERSION"))
