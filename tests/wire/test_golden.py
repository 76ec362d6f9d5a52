"""Every message of the protocol, as it lies on the wire and as the event it means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.protocol import codec, events

HERE = Path(__file__).parent
DIRECTIONS = {
    "client": (codec.CLIENT, codec.decode_client, codec.encode_client),
    "server": (codec.SERVER, codec.decode_server, codec.encode_server),
}

NOT_IN_THE_CONTRACT = {
    "client": {"enclave_setup_config"},  # C11: between the SDK and a self-hosted orchestrator
    "server": {
        "agent_response_metadata",  # S9
        "agent_response_complete",  # S10
        "client_error",  # S28
        "queue_status",  # S29
        "dtmf_request",  # S30
        "antiphon_waterfall",  # this project's own
    },
}
"What other sources show (SDK, docs, live clients) and the vendor's contract does not have."


def golden() -> Iterator[Any]:
    for direction in DIRECTIONS:
        for path in sorted((HERE / direction).glob("*.json")):
            for number, example in enumerate(json.loads(path.read_text(encoding="utf-8"))["examples"]):
                yield pytest.param(direction, path.stem, example, id=f"{direction}-{path.stem}-{number}")


EXAMPLES = list(golden())


def event_of(example: dict[str, Any]) -> Any:
    ((name, fields),) = example["event"].items()
    if "audio" in fields:
        fields = fields | {"audio": bytes.fromhex(fields["audio"])}
    if "alignment" in fields:
        fields = fields | {"alignment": events.Alignment(**fields["alignment"])}
    return getattr(events, name)(**fields)


def canonical(message: Any) -> str:
    """Text that is equal when two messages are, 48 and 48.0 or true and 1 told apart."""
    return json.dumps(message, sort_keys=True)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_every_message_has_a_golden_one(direction: str) -> None:
    """A message nobody wrote down would be checked by nobody."""
    shapes = DIRECTIONS[direction][0]
    types = {shape.type for shape in shapes} | ({"user_audio_chunk"} if direction == "client" else set())
    assert {path.stem for path in (HERE / direction).glob("*.json")} == types


def test_every_event_class_is_a_message() -> None:
    """The vocabulary and the wire tables name the same events."""
    declared = {*events.ClientEvent.__args__, *events.ServerEvent.__args__}
    known = {shape.event for shape in (*codec.CLIENT, *codec.SERVER)}
    assert declared == known | {events.UserAudio, events.UnknownEvent}


@pytest.mark.parametrize(("direction", "kind", "example"), EXAMPLES)
def test_a_golden_message_means_its_event(direction: str, kind: str, example: dict[str, Any]) -> None:
    """Reading."""
    decode = DIRECTIONS[direction][1]
    event = decode(json.dumps(example["message"]))
    assert event == event_of(example)
    assert codec.wire_type(event) == kind


@pytest.mark.parametrize(("direction", "kind", "example"), EXAMPLES)
def test_an_event_is_written_as_its_golden_message(direction: str, kind: str, example: dict[str, Any]) -> None:
    """Writing: the same JSON; from a client the same text where one is given, from a server the type comes last."""
    text = DIRECTIONS[direction][2](event_of(example))
    assert canonical(json.loads(text)) == canonical(example["message"])
    if "text" in example:
        assert text == example["text"]
    if direction == "client":
        assert text == json.dumps(json.loads(text))
    else:
        assert text.endswith(f'"type":"{kind}"}}')


@pytest.mark.parametrize("kind", ["contextual_update", "user_message", "user_activity"])
def test_what_the_original_compares_as_text_has_a_text(kind: str) -> None:
    """The original's own tests compare these three frames as strings (protocol.md 5.7)."""
    examples = json.loads((HERE / "client" / f"{kind}.json").read_text(encoding="utf-8"))["examples"]
    assert any("text" in example for example in examples)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_contract_knows_what_we_say_but_for_a_listed_few(
    direction: str, contract: dict[str, dict[str, Any]]
) -> None:
    """Nothing of the contract is missing here, and what is here beyond it is named."""
    ours = {path.stem for path in (HERE / direction).glob("*.json")}
    assert ours - contract[direction].keys() == NOT_IN_THE_CONTRACT[direction]
    assert contract[direction].keys() - ours == set()


@pytest.mark.parametrize(("direction", "kind", "example"), EXAMPLES)
def test_a_golden_message_and_our_writing_of_it_satisfy_the_contract(
    direction: str,
    kind: str,
    example: dict[str, Any],
    contract: dict[str, dict[str, Any]],
    violations: Callable[[dict[str, Any], Any], list[str]],
) -> None:
    """What we say, the vendor's schema accepts (protocol.md 8.2, 5)."""
    if kind in NOT_IN_THE_CONTRACT[direction]:
        assert kind not in contract[direction]
        return
    schema = contract[direction][kind]
    assert violations(schema, example["message"]) == []
    assert violations(schema, json.loads(DIRECTIONS[direction][2](event_of(example)))) == []


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("audio", {"type": "audio", "audio_event": {"audio_base_64": "", "event_id": 1, "alignment": None}}),
        ("user_transcript", {"type": "user_transcript", "user_transcription_event": {"user_transcript": "Hi"}}),
        ("ping", {"type": "ping", "ping_event": {"event_id": 1, "ping_ms": 0.5}}),
        ("error", {"type": "error", "error_event": {"code": 1009}}),
        ("client_tool_call", {"type": "client_tool_call", "client_tool_call": {"tool_name": "x", "event_id": 1}}),
    ],
)
def test_the_contract_does_refuse_what_breaks_it(
    kind: str,
    message: dict[str, Any],
    contract: dict[str, dict[str, Any]],
    violations: Callable[[dict[str, Any], Any], list[str]],
) -> None:
    """The checks above would notice."""
    assert violations(contract["server"][kind], message)


def test_no_mcp_tool_call_can_satisfy_the_contract_as_it_is_written(
    literal_contract: dict[str, dict[str, Any]], violations: Callable[[dict[str, Any], Any], list[str]]
) -> None:
    """Why `additionalProperties` is left out of its `allOf`: each half forbids what the other requires."""
    for example in json.loads((HERE / "server" / "mcp_tool_call.json").read_text(encoding="utf-8"))["examples"]:
        assert violations(literal_contract["mcp_tool_call"], example["message"])
