"""Whole conversations as scenes: what is said, heard, interrupted and recorded, in virtual time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from antiphon.audio.formats import parse_format
from antiphon.protocol import events as ev
from antiphon.simulation.call import BargeIn, Burst, Call, HangUp, Mute, Say, Speak, Wait, voice
from antiphon.turns.playback import DELAY

Hold = Callable[..., Call]


def observed(call: Call, kind: str) -> list[tuple[float, dict[str, Any]]]:
    """Observations of a kind, from the journal."""
    lines = [json.loads(line) for line in call.journal]
    return [(line["at"], line["saw"]) for line in lines if "saw" in line and line["saw"]["kind"] == kind]


def test_the_agent_greets_and_answers(call: Hold) -> None:
    """A greeting, a turn, a reply; each text announced once, in order."""
    held = call([Speak()], lines=["hello there"])
    assert held.texts == ["agent: Hello, how can I help?", "user: hello there", "agent: You said something."]
    assert held.ending is not None
    assert held.ending.close_code == 1000


def test_the_text_comes_no_later_than_its_sound(call: Hold) -> None:
    """agent_response with or before the first audio (protocol.md S5)."""
    held = call([Speak()], lines=["hello there"])
    kinds = [type(event) for _, event in held.heard if isinstance(event, (ev.AgentResponse, ev.AgentAudio))]
    assert kinds[0] is ev.AgentResponse
    assert ev.AgentAudio in kinds


def test_audio_is_paced_in_small_pieces(call: Hold) -> None:
    """Pieces of at most 200 ms, at most 400 ms ahead of real time after the first."""
    held = call([Speak()], lines=["long story"])
    sent = [(at, len(event.audio) / 32_000) for at, event in held.heard if isinstance(event, ev.AgentAudio)]
    assert max(seconds for _, seconds in sent) <= 0.2
    replies = [list(group) for _, group in itertools.groupby(sent, key=lambda piece: piece[0] > 3.5)]
    for pieces in replies:
        start, total = pieces[0][0], 0.0
        for at, seconds in pieces:
            total += seconds
            assert start + total - at <= 0.4 + 1e-6 or total == seconds


def test_a_barge_in_is_corrected_to_what_was_heard(call: Hold) -> None:
    """interruption, then the correction, before the next user_transcript (clients.md)."""
    held = call([Speak(), BargeIn(into=1.2), Wait(0.1)], lines=["long story", "stop that"])
    order = [type(e) for _, e in held.heard if not isinstance(e, (ev.AgentAudio, ev.ConversationMetadata))]
    at = order.index(ev.Interruption)
    assert order[at : at + 3] == [ev.Interruption, ev.AgentResponseCorrection, ev.UserTranscript]
    (correction,) = held.events(ev.AgentResponseCorrection)
    assert correction.original.startswith(correction.corrected)
    # 0.06 s a character, interrupted 1.2 to 1.6 s after the first sound.
    assert 1.2 / 0.06 - 8 <= len(correction.corrected) <= 1.6 / 0.06 + 8
    assert [type(e) for e in held.events(ev.AgentResponse)]
    response = next(e for e in held.events(ev.AgentResponse) if e.text == correction.original)
    assert correction.event_id == response.event_id


def test_an_interruption_lies_between_the_old_audio_and_the_new(call: Hold) -> None:
    """Ids satisfy the Python gate and the JavaScript gate alike (protocol.md 1.4)."""
    held = call([Speak(), BargeIn(), Speak()], lines=["long story", "stop that", "more"])
    (interruption,) = held.events(ev.Interruption)
    cut = next(i for i, (_, e) in enumerate(held.heard) if e is interruption)
    before = [e.event_id for _, e in held.heard[:cut] if isinstance(e, ev.AgentAudio)]
    after = [e.event_id for _, e in held.heard[cut:] if isinstance(e, ev.AgentAudio)]
    assert max(before) < interruption.event_id < min(after)
    assert before + after == sorted({*before, *after})


def test_the_model_reads_what_was_heard_not_what_was_generated(call: Hold) -> None:
    """The correction is folded into the context of the next answer."""
    held = call([Speak(), BargeIn(), Wait(0.1)], lines=["long story", "stop that"])
    (correction,) = held.events(ev.AgentResponseCorrection)
    assert correction.corrected != correction.original
    lines = [json.loads(line) for line in held.journal]
    outs = [line["out"]["type"] for line in lines if "out" in line]
    assert outs.index("interruption") < outs.index("agent_response_correction")


@pytest.mark.parametrize("chunk", [0.02, 0.05, 0.1, 0.25])
@pytest.mark.parametrize("into", [1.0, 1.013, 1.027])
def test_a_cough_does_not_interrupt(call: Hold, chunk: float, into: float) -> None:
    """The same reply goes on to its end, however the sound was cut into messages."""
    held = call([Speak(), BargeIn(seconds=0.1, into=into), Wait(0.1)], lines=["long story"], chunk=chunk)
    assert held.events(ev.Interruption) == []
    assert held.texts[-1].startswith("agent: This is a very long answer")


@pytest.mark.parametrize("chunk", [0.02, 0.05, 0.1, 0.25, 1.0])
def test_speech_over_the_agent_interrupts_however_it_was_cut(call: Hold, chunk: float) -> None:
    """Within the barge-in delay and two messages."""
    held = call([Speak(), BargeIn(seconds=0.6 + chunk, into=1.0), Wait(0.1)], lines=["long story", "x"], chunk=chunk)
    ((interrupted_at, _),) = [(at, e) for at, e in held.heard if isinstance(e, ev.Interruption)]
    response = next(e for e in held.events(ev.AgentResponse) if e.text.startswith("This is a very"))
    began = next(at for at, e in held.heard if isinstance(e, ev.AgentAudio) and e.event_id > response.event_id)
    assert 0.25 <= interrupted_at - (began + 1.0) <= 0.4 + 2 * chunk + 1e-5


def test_a_word_over_the_agent_in_one_message_interrupts(call: Hold) -> None:
    """Its length is that of its sound: when it came matters as little here as for a turn."""
    word = ev.UserAudio(voice(parse_format("pcm_16000"), 0.5) + bytes(32_000))
    held = call([Speak(), Wait(0.0), Say(word, after=2.5, patient=False), Wait(3.0)], lines=["long story", "stop"])
    assert len(held.events(ev.Interruption)) == 1
    assert "user: stop" in held.texts


@pytest.mark.parametrize("format_name", ["pcm_8000", "pcm_22050", "pcm_48000", "ulaw_8000"])
@pytest.mark.parametrize("chunk", [0.001, 0.0503, 1.0])
def test_every_format_and_cut_is_heard_and_spoken(call: Hold, format_name: str, chunk: float) -> None:
    """What was heard depends neither on the client's format nor on the length of its messages."""
    formats = {"asr": {"user_input_audio_format": format_name}, "tts": {"agent_output_audio_format": format_name}}
    held = call([Speak()], lines=["hello there"], chunk=chunk, **formats)
    assert held.texts == ["agent: Hello, how can I help?", "user: hello there", "agent: You said something."]
    spoken = sum(parse_format(format_name).seconds(len(audio.audio)) for audio in held.events(ev.AgentAudio))
    assert spoken == pytest.approx(0.06 * len("Hello, how can I help?You said something."), abs=0.02)


def test_speech_that_goes_on_while_the_reply_ends_is_a_turn(call: Hold) -> None:
    """The agent may not be interrupted; the user's words are not lost for that."""
    agent = {"disable_first_message_interruptions": True}
    held = call([BargeIn(seconds=1.5, into=0.8), Wait(3.0)], lines=["hello there"], agent=agent)
    assert held.events(ev.Interruption) == []
    assert held.texts[-2:] == ["user: hello there", "agent: You said something."]


def test_two_utterances_in_one_message_are_both_answered(call: Hold) -> None:
    """The second comes before the transcript of the first, so they are one turn."""
    audio_format = parse_format("pcm_16000")
    both = ev.UserAudio((voice(audio_format, 0.6) + bytes(32_000)) * 2)
    held = call([Say(both), Wait(3.0)], lines=["one", "two"])
    assert held.texts[-2:] == ["user: one two", "agent: You said something."]


@pytest.mark.parametrize("chunk", [0.02, 0.1, 0.25])
def test_a_caller_who_sends_no_silence_is_answered(call: Hold, chunk: float) -> None:
    """A stream that simply stops after the last word must not hang the turn (clients.md: Scenario)."""
    held = call([Mute(), Speak()], lines=["hello there"], chunk=chunk)
    assert held.texts[-1] == "agent: You said something."


def test_a_burst_is_heard_as_if_it_had_come_in_time(call: Hold) -> None:
    """Three seconds in one message: speech, then silence; and speech alone."""
    for silence in (0.0, 2.0):
        held = call([Mute(), Burst(speech=1.0, silence=silence)], lines=["hello there"])
        assert held.texts == ["agent: Hello, how can I help?", "user: hello there", "agent: You said something."]


def test_a_typed_message_is_a_turn(call: Hold) -> None:
    """It interrupts and is answered; nobody repeats it back as a transcript."""
    held = call([Speak(), Wait(0.0), Say(ev.UserMessage(text="long please")), Speak()], lines=["hello", "bye"])
    assert (
        "agent: This is a very long answer, with many words in it, so that there is time to interrupt it." in held.texts
    )
    assert held.texts.count("user: hello") == 1


def test_a_contextual_update_is_read_but_not_answered(call: Hold) -> None:
    """Background for the next answer, no turn of its own."""
    update = ev.ContextualUpdate(text="User is on the pricing page", context_id="page")
    held = call([Say(update), Wait(1.0), Speak()], lines=["where am I"])
    assert held.texts == ["agent: Hello, how can I help?", "user: where am I", "agent: You are on the pricing page."]


def test_an_update_that_comes_with_the_turn_does_not_replace_it(call: Hold) -> None:
    """Typed, then told in the background at once: the model answers what was typed."""
    update = Say(ev.ContextualUpdate(text="User is on the pricing page"), after=0.0, patient=False)
    held = call([Say(ev.UserMessage(text="where am I")), update, Wait(1.0)], chunk=0.02)
    assert held.texts[-1] == "agent: You are on the pricing page."


def test_an_update_during_a_tool_call_does_not_hide_its_result(call: Hold) -> None:
    """The model goes on with the result, the update read beside it."""
    update = Say(ev.ContextualUpdate(text="User is on the pricing page"), after=2.5, patient=False)
    late = Say(ev.ClientToolResult(tool_call_id="call_1", result={"state": "lost"}), after=0.2, patient=False)
    held = call([Speak(), update, late], lines=["where is order 42"])
    assert held.texts[-1] == 'agent: It is {"state": "lost"}.'


def test_a_typed_message_during_a_tool_call_takes_its_place(call: Hold) -> None:
    """The call is given up; its late result is nobody's."""
    typed = Say(ev.UserMessage(text="never mind"), after=2.5, patient=False)
    late = Say(ev.ClientToolResult(tool_call_id="call_1", result="found"), after=0.3, patient=False)
    held = call([Speak(), typed, late, Wait(1.0)], lines=["where is order 42"])
    assert held.texts[-1] == "agent: You said something."
    assert not any("found" in text for text in held.texts)


def test_a_noise_that_cuts_a_thought_off_does_not_cost_the_answer(call: Hold) -> None:
    """The turn before it is still to be answered."""
    held = call([Speak(), Speak(seconds=0.3, after=2.0, patient=False)], lines=["slow please"])
    assert held.texts[-1] == "agent: That took long."
    assert held.events(ev.Interruption) == []


def test_a_message_without_text_is_no_turn(call: Hold) -> None:
    """Clients send empty ones, and null (protocol.md C6)."""
    empty = [Say(ev.UserMessage(text=text), patient=False) for text in ("", None, " ")]
    held = call([Wait(3.0), *empty, HangUp(2.0)])
    assert held.texts == ["agent: Hello, how can I help?"]


def test_a_client_tool_is_called_and_its_result_said(call: Hold) -> None:
    """The call carries checked arguments; its result, whatever its type, goes into the answer."""
    asked: list[dict[str, Any]] = []

    def order_status(parameters: dict[str, Any]) -> str:
        asked.append(parameters)
        return "on its way"

    held = call([Speak()], lines=["where is order 42"], tools={"order_status": order_status})
    assert asked == [{"order": "42"}]
    assert held.texts[-1] == "agent: It is on its way."


def test_words_before_a_tool_are_a_message_of_their_own(call: Hold) -> None:
    """The caller hears them while the tool runs."""
    held = call([Speak()], lines=["check it"], tools={"order_status": lambda _: "lost"})
    assert held.texts[-2:] == ["agent: One moment.", "agent: It is lost."]


def test_a_client_that_never_answers_a_tool_call_gets_an_answer_all_the_same(call: Hold) -> None:
    """Scenario never does (clients.md)."""
    held = call([Speak()], lines=["where is order 42"])
    assert len(held.events(ev.ClientToolCall)) == 1
    assert held.texts[-1].startswith("agent: ")
    assert held.texts[-1] != "agent: It is ."


def test_the_agent_speaks_again_when_the_user_stays_silent(call: Hold) -> None:
    """After `turn_timeout`, and not before."""
    held = call([Wait(10.0), Speak()], lines=["hello"], turn={"turn_timeout": 3})
    first, second = [at for at, e in held.heard if isinstance(e, ev.AgentResponse)][:2]
    spoken = len("Hello, how can I help?") * 0.06
    assert second - first == pytest.approx(DELAY + spoken + 3.0, abs=0.05)


def test_the_conversation_ends_at_its_maximum_duration(call: Hold) -> None:
    """With the error that tells why, and the normal close code (protocol.md 3.5)."""
    held = call([Wait(60.0), Speak()], conversation={"max_duration_seconds": 10})
    assert held.ending is not None
    assert held.ending.close_code == 1000
    (error,) = held.events(ev.ErrorEvent)
    assert error.error_type == "max_duration_exceeded"
    assert held.heard[-1][0] == pytest.approx(10.0, abs=0.2)


def test_text_only_streams_parts_and_sends_no_sound(call: Hold) -> None:
    """start, deltas, stop under one id; together they are the response (protocol.md S7)."""
    held = call([Say(ev.UserMessage(text="hello"))], conversation={"text_only": True})
    assert held.events(ev.AgentAudio) == []
    response = held.events(ev.AgentResponse)[-1]
    parts = [p for p in held.events(ev.AgentChatResponsePart) if p.event_id == response.event_id]
    assert (parts[0].part, parts[-1].part) == ("start", "stop")
    assert "".join(p.text for p in parts).strip() == response.text


def test_events_that_were_not_asked_for_are_not_sent_but_recorded(call: Hold) -> None:
    """`client_events` is an allow-list; the journal keeps everything."""
    held = call([Speak()], lines=["hello"], conversation={"client_events": ["audio"]})
    assert held.events(ev.AgentResponse, ev.UserTranscript) == []
    assert held.events(ev.AgentAudio) != []
    assert any(b'"agent_response"' in line for line in held.journal)


def test_an_agent_without_the_interruption_event_cannot_be_interrupted(call: Hold) -> None:
    """protocol.md S11."""
    events = ["audio", "agent_response", "user_transcript"]
    held = call([Speak(), BargeIn(), Wait(0.1)], lines=["long story", "x"], conversation={"client_events": events})
    assert not any(b'"interruption"' in line for line in held.journal)


def test_an_utterance_nobody_understood_is_asked_for_again(call: Hold) -> None:
    """An empty transcript is a re-prompt, not a guess."""
    held = call([Speak()], lines=[])
    assert held.texts[-1] == "agent: Sorry, I did not catch that. Could you say it again?"


def test_the_waterfall_adds_up_to_what_the_caller_waited(call: Hold) -> None:
    """Last sound of the user to first sound of the answer, stage by stage."""
    everything = ["audio", "agent_response", "user_transcript", "interruption", "antiphon_waterfall"]
    held = call([Speak()], lines=["slow please"], conversation={"client_events": everything})
    waterfall = held.events(ev.TurnWaterfall)[-1]
    total = sum(waterfall.stages.values())
    assert total == pytest.approx(waterfall.first_audio_at - waterfall.user_speech_ended_at, abs=1e-5)
    assert waterfall.stages["llm"] == pytest.approx(3.0, abs=1e-3)
    assert waterfall.stages["endpointing"] == pytest.approx(0.5, abs=0.15)


def test_an_answer_that_begins_with_a_tool_has_a_waterfall(call: Hold) -> None:
    """The time that the tool took is the model's: it would not speak before."""
    everything = ["audio", "agent_response", "user_transcript", "antiphon_waterfall"]
    held = call(
        [Speak()],
        lines=["where is order 42"],
        tools={"order_status": lambda _: "lost"},
        conversation={"client_events": everything},
    )
    waterfall, response = held.events(ev.TurnWaterfall)[-1], held.events(ev.AgentResponse)[-1]
    assert waterfall.event_id == response.event_id
    assert sum(waterfall.stages.values()) > 0.5


def test_the_same_call_is_the_same_journal_byte_for_byte(call: Hold) -> None:
    """Nothing in a session depends on the machine's clock, chance or load."""
    script = [Speak(), BargeIn(), Speak()]
    first, second = (call(script, lines=["long story", "stop", "more"]) for _ in range(2))
    assert b"".join(first.journal) == b"".join(second.journal)
