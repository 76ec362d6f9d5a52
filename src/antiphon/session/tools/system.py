"""Tools of the conversation itself: they do nothing but say what is to happen next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from antiphon.agents.arguments import with_variables
from antiphon.agents.system_tools import KINDS, MAX_TONES, TONES, agent_transfers, description, schema
from antiphon.agents.tools import ToolConfig
from antiphon.dialogue.outcome import EndCall, Outcome, PlayTones, SkipTurn, SwitchLanguage, Transfer
from antiphon.engines.base import ToolSpec

EARLY_TURNS = 2
"Turns of the user in which `only_at_conversation_start` lets the language change for the first time."


class SystemTools:
    """The system tools of one conversation.

    `languages`: those that the agent can be switched to, its own first. `sounds`: there is a voice path. `user_turns`:
    how often the user has spoken.
    """

    def __init__(self, languages: Sequence[str], *, sounds: bool, user_turns: Callable[[], int]) -> None:
        self._languages = list(dict.fromkeys(languages))
        self._sounds = sounds
        self._user_turns = user_turns
        self._switched = False

    def spec(self, tool: ToolConfig) -> ToolSpec | None:
        """What the model is offered; None: it cannot work here."""
        params = tool.params or {}
        if not self._works(tool.kind, params):
            return None
        return ToolSpec(
            tool.name, description(tool.kind, tool.description, params), schema(tool.kind, params, self._languages)
        )

    def _works(self, kind: str, params: Mapping[str, Any]) -> bool:
        match kind:
            case "language_detection":
                return len(self._languages) > 1
            case "transfer_to_agent":
                return bool(agent_transfers(params))
            case "play_keypad_touch_tone" | "voicemail_detection":
                return self._sounds
            case _:
                return kind in KINDS

    def run(self, tool: ToolConfig, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Outcome:
        """What is to happen. `variables` stand in texts that the agent says."""
        params = tool.params or {}
        if not self._works(tool.kind, params):
            return Outcome(f"{tool.name} cannot work in this conversation", is_error=True)
        reason = str(arguments.get("reason") or "")
        match tool.kind:
            case "end_call":
                message = str(arguments.get("message") or "")
                return Outcome("The conversation ends.", action=EndCall(reason, message))
            case "skip_turn":
                return Outcome("Waiting until the user speaks.", action=SkipTurn(reason))
            case "language_detection":
                return self._switch(str(arguments.get("language") or ""), params)
            case "transfer_to_agent":
                return _transfer(arguments.get("agent_number"), params, variables)
            case "play_keypad_touch_tone":
                return _tones(str(arguments.get("dtmf_tones") or ""), params)
            case "voicemail_detection":
                message = with_variables(str(params.get("voicemail_message") or ""), variables)
                return Outcome("The conversation ends.", action=EndCall(reason or "voicemail", message))
            case _:
                return Outcome(
                    "The conversation goes over the web and has no telephone line: it cannot be transferred to a "
                    "number. Tell the user so, and help in another way.",
                    is_error=True,
                )

    def _switch(self, asked: str, params: Mapping[str, Any]) -> Outcome:
        language = self._known(asked)
        if language is None:
            known = ", ".join(self._languages)
            return Outcome(f"there is no language {asked!r} here; there are {known}", is_error=True)
        if params.get("only_at_conversation_start") and not self._switched and self._user_turns() > EARLY_TURNS:
            return Outcome("the language can no longer be changed; go on in the present one", is_error=True)
        self._switched = True
        return Outcome(f"The conversation goes on in {language}.", action=SwitchLanguage(language))

    def _known(self, asked: str) -> str | None:
        """The language meant: models also write `de-DE` where there is `de`."""
        by_code = {language.lower(): language for language in self._languages}
        code = asked.strip().lower().replace("_", "-")
        return by_code.get(code) or by_code.get(code.partition("-")[0])


def _transfer(number: Any, params: Mapping[str, Any], variables: Mapping[str, Any]) -> Outcome:
    entry = dict(agent_transfers(params)).get(number)
    if entry is None:
        return Outcome(f"there is no agent_number {number}", is_error=True)
    action = Transfer(
        agent_id=str(entry["agent_id"]),
        message=with_variables(str(entry.get("transfer_message") or ""), variables),
        delay=max(0.0, _seconds(entry.get("delay_ms"))),
        greets=entry.get("enable_transferred_agent_first_message") is True,
        keeps_tts_overrides=entry.get("preserve_client_tts_overrides") is True,
    )
    return Outcome("The conversation is being transferred.", action=action)


def _seconds(milliseconds: Any) -> float:
    return milliseconds / 1000 if isinstance(milliseconds, (int, float)) else 0.0


def _tones(asked: str, params: Mapping[str, Any]) -> Outcome:
    tones = "".join(key for key in asked if not key.isspace() and key not in "-,()")
    unknown = sorted({key for key in tones if key not in TONES})
    if unknown or not tones:
        what = f"there is no key {', '.join(unknown)}" if unknown else "dtmf_tones is empty"
        return Outcome(f"{what}; the keys are 0-9, * and #, pauses are w and W", is_error=True)
    if len(tones) > MAX_TONES:
        return Outcome(f"at most {MAX_TONES} keys at once", is_error=True)
    silent = params.get("suppress_turn_after_dtmf") is True
    return Outcome(f"The keys {tones} are pressed.", action=PlayTones(tones, silent_after=silent))
