"""Server-sent events, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engines.llm import sse
from antiphon.engines.llm.sse import EventDecoder, ServerSentEvent

STREAM = (
    "\ufeffdata: one\r\ndata: more\r\n\r\n: hello\r\n\r\n"
    "event: ping\rid: 7\rdata: a\rdata: b\r\rretry: 3\ndata:two\u2028\x85\x0b\n\n"
    "data: für 東京 😀\n\n\n\nunknown: x\ndata\n\nevent: lonely\n\n"
)
EVENTS = [
    ServerSentEvent("one\nmore"),
    ServerSentEvent("a\nb", "ping"),
    ServerSentEvent("two\u2028\x85\x0b"),
    ServerSentEvent("für 東京 😀"),
    ServerSentEvent(""),
]


def decode(chunks: list[bytes]) -> list[ServerSentEvent]:
    decoder = EventDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()


def test_every_line_end_comment_and_field_is_read_as_the_standard_says() -> None:
    """CR LF, LF and CR end a line, nothing else does; data lines are joined; comments and unknown fields skipped."""
    assert decode([STREAM.encode()]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=60))
def test_where_packets_are_cut_changes_nothing(cuts: list[int]) -> None:
    """A cut may fall inside a character, between CR and LF, anywhere."""
    content, places = STREAM.encode(), sorted([0, *cuts, len(STREAM.encode())])
    assert decode([content[a:b] for a, b in pairwise(places)]) == EVENTS


def test_one_byte_at_a_time_changes_nothing() -> None:
    """The extreme case: every cut at once."""
    assert decode([bytes([byte]) for byte in STREAM.encode()]) == EVENTS


def test_an_event_comes_as_soon_as_its_blank_line_does() -> None:
    """Even if that line ends in a lone CR, whose LF may still follow."""
    decoder = EventDecoder()
    assert decoder.feed(b"data: now\r\n\r") == [ServerSentEvent("now")]
    assert decoder.feed(b"\ndata: more\r\n\r\n") == [ServerSentEvent("more")]


def test_the_last_event_needs_no_blank_line() -> None:
    """A stream that just ends has said what it said."""
    assert decode([b"data: one\n\ndata: two"]) == [ServerSentEvent("one"), ServerSentEvent("two")]


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    """One bad byte does not lose the event."""
    assert decode([b"data: a\xffb\n\n"]) == [ServerSentEvent("a\N{REPLACEMENT CHARACTER}b")]


def test_an_error_field_is_an_event_named_error() -> None:
    """As llama.cpp's server sends it."""
    assert decode([b'error: {"code":500}\n\n']) == [ServerSentEvent('{"code":500}', "error")]


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000, b"data: xxxxxxxxx\n" * 100])
def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch, line: bytes) -> None:
    """Memory stays bounded whether one line never ends or the lines never do."""
    monkeypatch.setattr(sse, "MAX_EVENT", 500)
    with pytest.raises(ValueError, match="longer than 500 bytes"):
        EventDecoder().feed(line)
