"""A conversation with a self-hosted orchestrator, which is told its agent by the client (protocol.md 2.6)."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

from antiphon.protocol.codec import client_json
from antiphon.protocol.events import EnclaveSetup, UnknownEvent


@dataclass
class PostCallWebhookConfig:
    """Where the record of a conversation, or its sound, is posted after the call."""

    url: str
    hmac_secret: str | None = None
    "What deliveries are signed with, at least 16 characters; None: they are not signed."

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the setup message."""
        return {"url": self.url} | ({"hmac_secret": self.hmac_secret} if self.hmac_secret is not None else {})


class OnPremInitiationData:
    """The address of a self-hosted orchestrator, taken as it is, and the setup it gets as the first message.

    `extra_setup_config` holds fields of that message that have no argument here.

    Raises:
        ValueError: a webhook is given in both of its forms, or an extra field has an argument of its own.
    """

    _RESERVED_SETUP_KEYS = frozenset(
        {
            "type",
            "agent_config_dict",
            "override_agent_config_list",
            "tools_config_list",
            "post_call_transcription_webhook_url",
            "post_call_audio_webhook_url",
            "post_call_transcription_webhook",
            "post_call_audio_webhook",
            "prompt_knowledge_base",
            "bedrock_inference_profile",
        }
    )

    def __init__(
        self,
        on_prem_conversation_url: str,
        post_call_transcription_webhook_url: str | None = None,
        post_call_audio_webhook_url: str | None = None,
        agent_config_dict: dict[str, Any] | None = None,
        override_agent_config_list: list[dict[str, Any]] | None = None,
        tools_config_list: list[dict[str, Any]] | None = None,
        prompt_knowledge_base: list[str] | None = None,
        post_call_transcription_webhook: PostCallWebhookConfig | None = None,
        post_call_audio_webhook: PostCallWebhookConfig | None = None,
        bedrock_inference_profile: str | None = None,
        extra_setup_config: dict[str, Any] | None = None,
    ) -> None:
        for name, webhook, webhook_url in (
            ("post_call_transcription_webhook", post_call_transcription_webhook, post_call_transcription_webhook_url),
            ("post_call_audio_webhook", post_call_audio_webhook, post_call_audio_webhook_url),
        ):
            if webhook is not None and webhook_url:
                raise ValueError(f"Set either {name} or {name}_url, not both.")
        if extra_setup_config is not None:
            if not isinstance(extra_setup_config, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ValueError("extra_setup_config must be a dict.")
            reserved = ", ".join(sorted(self._RESERVED_SETUP_KEYS & set(extra_setup_config)))
            if reserved:
                raise ValueError(
                    f"extra_setup_config may not override {reserved}; pass these as named arguments instead."
                )
        self.on_prem_conversation_url = on_prem_conversation_url
        self.post_call_transcription_webhook_url = post_call_transcription_webhook_url
        self.post_call_audio_webhook_url = post_call_audio_webhook_url
        self.agent_config_dict = agent_config_dict
        self.override_agent_config_list = override_agent_config_list
        self.tools_config_list = tools_config_list
        self.prompt_knowledge_base = prompt_knowledge_base
        self.post_call_transcription_webhook = post_call_transcription_webhook
        self.post_call_audio_webhook = post_call_audio_webhook
        self.bedrock_inference_profile = bedrock_inference_profile
        self.extra_setup_config = dict(extra_setup_config) if extra_setup_config else {}


class OrchestratorConfig(OnPremInitiationData):
    """OnPremInitiationData as 3.0 of the original names it.

    Raises:
        ValueError: also for a URL that is neither ws nor wss.
    """

    def __init__(self, url: str, **options: Any) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("ws", "wss"):
            raise ValueError(f"url must be a ws:// or wss:// address, not {url!r}")
        super().__init__(url, **options)
        self.url = url


def setup(config: OnPremInitiationData) -> EnclaveSetup | UnknownEvent:
    """The first message to the orchestrator. Extra fields stand before the others, as the original writes them."""
    transcription, audio = config.post_call_transcription_webhook, config.post_call_audio_webhook
    event = EnclaveSetup(
        agent_config=config.agent_config_dict,
        override_agent_configs=config.override_agent_config_list,
        tools=config.tools_config_list,
        transcription_webhook_url=config.post_call_transcription_webhook_url,
        audio_webhook_url=config.post_call_audio_webhook_url,
        knowledge_base=config.prompt_knowledge_base,
        bedrock_inference_profile=config.bedrock_inference_profile,
        transcription_webhook=transcription.to_dict() if transcription is not None else None,
        audio_webhook=audio.to_dict() if audio is not None else None,
    )
    return UnknownEvent({**config.extra_setup_config, **client_json(event)}) if config.extra_setup_config else event
