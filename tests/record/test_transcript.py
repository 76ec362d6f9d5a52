"""The transcript is a fold of events: what the language model reads is what was said and heard."""

from __future__ import annotations

from antiphon.protocol import events as ev
from antiphon.record.transcript import AgentSaid, Noted, ToolCalled, Transcript, UserSaid


def folded(*events: ev.ServerEvent | ev.ClientEvent) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript


def test_turns_stand_in_the_order_in_which_they_were_taken() -> None:
    """Spoken and typed alike; events that say nothing leave no trace."""
    transcript = folded(
        ev.AgentResponse(text="Hello.", event_id=1),
        ev.AgentAudio(audio=b"", event_id=2),
        ev.UserTranscript(text="hi", event_id=3),
        ev.UserActivity(),
        ev.UserMessage(text="typed"),
        ev.UserMessage(text=None),
        ev.MultimodalMessage(text="with a file", file_ids=["f"]),
    )
    assert transcript.entries == [
        AgentSaid("Hello.", 1),
        UserSaid("hi"),
        UserSaid("typed"),
        UserSaid("with a file"),
    ]


def test_a_correction_changes_the_message_it_is_about_and_no_other() -> None:
    """Found by its id, however long ago it was; an unknown id changes nothing."""
    transcript = folded(
        ev.AgentResponse(text="One moment.", event_id=1),
        ev.AgentResponse(text="It is on its way.", event_id=5),
        ev.AgentResponseCorrection(original="One moment.", corrected="One", event_id=1),
        ev.AgentResponseCorrection(original="x", corrected="y", event_id=99),
    )
    assert transcript.entries == [AgentSaid("One", 1, interrupted=True), AgentSaid("It is on its way.", 5)]


def test_a_tool_call_gets_its_own_result_once() -> None:
    """Of two calls with one id, the newest that has none; a result of an unknown call is ignored."""

    def asked(call_id: str) -> ev.AgentToolRequest:
        return ev.AgentToolRequest(tool_name="t", tool_call_id=call_id, tool_type="client", event_id=1)

    def answered(call_id: str, result: str) -> ev.AgentToolResponseFullPayload:
        return ev.AgentToolResponseFullPayload(
            tool_name="t",
            tool_call_id=call_id,
            tool_type="client",
            is_error=False,
            event_id=1,
            full_tool_result=result,
            truncated=False,
        )

    transcript = folded(asked("a"), asked("b"), answered("a", "one"), answered("a", "again"), answered("c", "no"))
    results = [entry.result for entry in transcript.entries if isinstance(entry, ToolCalled)]
    assert results == ["one", None]


def test_of_contextual_updates_with_one_id_the_newest_stays() -> None:
    """At its own place; those without an id all stay (protocol.md C5)."""
    transcript = folded(
        ev.ContextualUpdate(text="page one", context_id="page"),
        ev.ContextualUpdate(text="logged in"),
        ev.UserMessage(text="hi"),
        ev.ContextualUpdate(text="page two", context_id="page"),
        ev.ContextualUpdate(text="logged in"),
    )
    assert transcript.entries == [
        Noted("logged in", None),
        UserSaid("hi"),
        Noted("page two", "page"),
        Noted("logged in", None),
    ]
