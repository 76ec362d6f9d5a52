"""Properties of the codec that hold for every event and every text."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.errors import ProtocolError, RemoteProtocolError
from antiphon.protocol import codec
from antiphon.protocol import events as ev


def tries(number: int) -> settings:
    """That many examples, however busy the machine is."""
    return settings(max_examples=number, deadline=None, suppress_health_check=[HealthCheck.too_slow])


TEXT = st.text(max_size=20)
WHOLE = st.integers(-(2**63), 2**64 - 1)
REAL = st.floats(allow_nan=False, allow_infinity=False)
LEAF = st.none() | st.booleans() | WHOLE | REAL | TEXT
JSON = st.recursive(LEAF, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXT, inside, max_size=3))
UNKNOWN_FIELDS = st.dictionaries(TEXT.map(lambda key: f"x-{key}"), JSON, max_size=2)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    Any: JSON,
    bytes: st.binary(max_size=50),
    str: TEXT,
    int: WHOLE,
    float: REAL,
    bool: st.booleans(),
    type(None): st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if hint in PLAIN:
        return PLAIN[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXT, values(arguments[1]), max_size=3)
    return st.builds(hint, **{name: values(inner) for name, inner in get_type_hints(hint).items()})


def instances(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Events of one class, with every field filled and some that nobody knows."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    fields = {name: values(hint) for name, hint in hints.items()}
    if kind is ev.AsrInitiationMetadata:
        fields["extra"] = st.just({})  # its payload is opaque: nothing in it is unknown
    elif "extra" in fields:
        fields["extra"] = UNKNOWN_FIELDS
    return st.builds(kind, **fields)


CLIENT_EVENTS = [kind for kind in get_args(ev.ClientEvent) if kind is not ev.UnknownEvent]
SERVER_EVENTS = [kind for kind in get_args(ev.ServerEvent) if kind is not ev.UnknownEvent]


@pytest.mark.parametrize("kind", CLIENT_EVENTS, ids=lambda kind: kind.__name__)
def test_a_client_s_event_comes_back_as_it_was(kind: type[Any]) -> None:
    """decode(encode(event)) is the event, whatever it holds; and the text is what json.dumps prints."""

    @tries(25)
    @given(instances(kind))
    def holds(event: Any) -> None:
        text = codec.encode_client(event)
        assert codec.decode_client(text) == event
        assert text == json.dumps(codec.client_json(event))

    holds()


@pytest.mark.parametrize("kind", SERVER_EVENTS, ids=lambda kind: kind.__name__)
def test_a_server_s_event_comes_back_as_it_was(kind: type[Any]) -> None:
    """decode(encode(event)) is the event, whatever it holds."""

    @tries(25)
    @given(instances(kind))
    def holds(event: Any) -> None:
        assert codec.decode_server(codec.encode_server(event)) == event

    holds()


@tries(60)
@given(instances(ev.AgentAudio))
def test_the_template_says_what_the_table_says(event: ev.AgentAudio) -> None:
    """Audio out has a path of its own; it is only faster."""
    by_table = {"audio_event": codec.server_json(event)["audio_event"], "type": "audio"}
    alignment = by_table["audio_event"].get("alignment")
    if alignment is not None:
        by_table["audio_event"]["alignment"] = {name: getattr(alignment, name) for name in alignment.__struct_fields__}
    assert json.loads(codec.encode_server(event)) == by_table


# ------------------------------------------------------------------------------------------- the audio fast path

BASE64 = st.text("AZaz09+/=", max_size=40)
INSIDE = st.text('AZaz09+/=\\"u{}:, \n\té\u2028', max_size=40) | BASE64
SOUND = st.binary(max_size=60).map(lambda audio: codec.encode_client(ev.UserAudio(audio)))
FRAMES = st.builds(
    str.__add__,
    st.sampled_from(
        ['{"user_audio_chunk": "', '{"user_audio_chunk":"', '{ "user_audio_chunk": "', '{"user_audio_chunk" :"']
    ),
    st.builds(
        str.__add__,
        INSIDE,
        st.sampled_from(
            [
                *('"}', '" }', '"}\n', '"', "}", "", '"}}', '"}"}'),
                *('", "type": "user_audio_chunk"}', '", "more": "AAAA"}', '", "user_audio_chunk": "AAAA"}'),
            ]
        ),
    ),
)
ESCAPED = st.builds(
    lambda audio, key: json.dumps({"user_audio_chunk": audio} | key).replace("/", "\\/").replace("A", "\\u0041"),
    BASE64,
    st.sampled_from([{}, {"type": "user_audio_chunk"}, {"more": [1]}]),
)


def outcome(decode: Callable[[str], Any], text: str) -> Any:
    """What a text means, or what is wrong with it."""
    try:
        return decode(text)
    except ProtocolError as error:
        return type(error), error.error_type, error.close_code


@tries(400)
@given(SOUND | FRAMES | ESCAPED)
def test_the_fast_path_of_audio_only_is_faster(text: str) -> None:
    """It sees what the long way sees, in every text, also where one begins and ends like the shortest form."""
    leading_space = " " + text  # keeps the recogniser from seeing it, and means the same
    assert outcome(codec.decode_client, text) == outcome(codec.decode_client, leading_space)


@pytest.mark.parametrize(
    "text",
    ['{"user_audio_chunk": "}', '{"user_audio_chunk":"}', '{"user_audio_chunk": "', '{"user_audio_chunk": "AA"A"}'],
)
def test_a_torn_piece_of_audio_is_refused(text: str) -> None:
    """One quotation mark cannot both open and close the sound."""
    with pytest.raises(RemoteProtocolError):
        codec.decode_client(text)


# ---------------------------------------------------------------------------------------------------------- fuzz


def must_be_understood_or_refused(text: str) -> None:
    """A ProtocolError, or an event that can be journaled, written and read again."""
    for decode, encode in ((codec.decode_client, codec.encode_client), (codec.decode_server, codec.encode_server)):
        try:
            event = decode(text)
        except RemoteProtocolError as error:
            refused = error
        else:
            msgspec.json.encode(codec.journal_json(event))
            assert decode(encode(event)) == event
            continue
        assert refused.close_code == 1008
        assert len(str(refused)) <= 400


@tries(100)
@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """Nothing else comes out of the codec, whatever comes in."""
    must_be_understood_or_refused(text)


KINDS = st.sampled_from([shape.type for shape in (*codec.CLIENT, *codec.SERVER)] + ["user_audio_chunk"])
PAYLOADS = st.sampled_from([shape.payload or "text" for shape in codec.SERVER])
FIELDS = st.sampled_from(
    sorted({field for shape in (*codec.CLIENT, *codec.SERVER) for field in shape.event.__struct_fields__})
    + sorted({name for shape in (*codec.CLIENT, *codec.SERVER) for name in shape.names.values()})
    + ["type", "file", "files", "content", "alignment", "user_audio_chunk"]
)
BODIES = st.dictionaries(FIELDS, JSON, max_size=5)


@tries(100)
@given(JSON | st.builds(lambda kind, body: {"type": kind} | body, KINDS, BODIES))
def test_any_json_is_understood_or_refused(message: Any) -> None:
    """Known types with fields of every other kind."""
    must_be_understood_or_refused(json.dumps(message))


@tries(100)
@given(KINDS, PAYLOADS, JSON | BODIES)
def test_any_payload_is_understood_or_refused(kind: str, payload: str, body: Any) -> None:
    """Known types with payloads of every kind, also another's."""
    must_be_understood_or_refused(json.dumps({payload: body, "type": kind}))


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a message are."""
    inside = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def put(node: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The message with another value in one place."""
    if not path:
        return value
    changed = node.copy()
    changed[path[0]] = put(node[path[0]], path[1:], value)
    return changed


def test_a_bent_golden_message_is_understood_or_refused(golden_messages: list[dict[str, Any]]) -> None:
    """One value of a right message replaced by any other."""

    @tries(150)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        message = data.draw(st.sampled_from(golden_messages))
        place = data.draw(st.sampled_from(places(message)))
        must_be_understood_or_refused(json.dumps(put(message, place, data.draw(JSON))))

    holds()


def test_a_torn_golden_message_is_understood_or_refused(golden_messages: list[dict[str, Any]]) -> None:
    """A piece of its text cut out, doubled or replaced."""

    @tries(150)
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        text = json.dumps(data.draw(st.sampled_from(golden_messages)))
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, len(text)))
        piece = data.draw(
            st.sampled_from(["", text[start:end] * 2, "null", '"', "\\", "{", "]", "1e999", "\x00"]) | st.text()
        )
        must_be_understood_or_refused(text[:start] + piece + text[end:])

    holds()
