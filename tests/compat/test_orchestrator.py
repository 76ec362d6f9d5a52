"""The unmodified elevenlabs SDK brings its own agent along, and receives what is posted after the call."""

from __future__ import annotations

import base64
import json
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-compat" / "elevenlabs" / "bin" / "python"
HELLO = "Hello, how can I help?"
ANSWER = "We are open from nine to five."
SECRET = "a secret of these tests"
ENGINES = {"CLIENT_CONFIG_ENGINES": "scripted,scripted.*,energy"}

Play = Callable[..., Any]
Serving = Callable[..., AbstractContextManager[str]]

pytestmark = [pytest.mark.component("elevenlabs"), pytest.mark.parametrize("mode", ["sync", "async"])]


@pytest.fixture(scope="module")
def orchestrator(serving: Serving) -> Iterator[str]:
    """A server on loopback to which clients may bring their agents."""
    with serving("--allow-client-config", **ENGINES) as address:
        yield address


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    """A web server that takes every webhook: its address, and the posts as they come."""
    posts: queue.Queue[dict[str, Any]] = queue.Queue()

    class Receiver(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if self.headers.get("transfer-encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers["content-length"]))
            signature = self.headers.get("elevenlabs-signature")
            posts.put({"path": self.path, "body": body.decode(), "signature": signature})
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing: the test says what is wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", posts
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def verified(post: dict[str, Any], **changed: str) -> dict[str, Any]:
    """What the SDK's `webhooks.construct_event` makes of a post, or of one in which something was `changed`."""
    shown = {"body": post["body"], "signature": post["signature"], "secret": SECRET, **changed}
    program = [PYTHON, HERE / "elevenlabs" / "verify.py"]
    done = subprocess.run(program, input=json.dumps(shown), capture_output=True, text=True, timeout=30, check=True)
    return json.loads(done.stdout)


def agent(name: str) -> dict[str, Any]:
    """The file of an agent that the server knows too: here it is the client's."""
    return json.loads((HERE / "agents" / f"{name}.json").read_text())


def setup(server: str, config: dict[str, Any], **arguments: Any) -> str:
    """What OnPremInitiationData is made of."""
    url = f"{server.replace('http', 'ws', 1)}/v1/convai/orchestrator"
    return json.dumps({"on_prem_conversation_url": url, "agent_config_dict": config, **arguments})


def refused(play: Play, mode: str, server: str, on_prem: str) -> tuple[int | None, str | None]:
    """How the server got rid of the SDK."""
    (disconnect,) = play("refused", mode, server, "none", on_prem=on_prem).of("disconnect")
    assert disconnect["reason"] == "error"
    return disconnect["close_code"], disconnect["close_reason"]


def test_a_spoken_turn_with_the_agent_it_brings(play: Play, orchestrator: str, mode: str) -> None:
    """The first message is heard, a question is answered; `none` is an agent that the server does not have."""
    course = play("turn", mode, orchestrator, "none", on_prem=setup(orchestrator, agent("hours")))
    assert course.texts("agent_response") == [HELLO, ANSWER]
    assert course.texts("user_transcript") == ["what are your opening hours"]
    assert [note["bytes"] for note in course.of("output")] == [frame["bytes"] for frame in course.frames("audio")]
    assert course.of("frame")[0]["message"]["type"] == "conversation_initiation_metadata"
    (over,) = course.of("over")
    assert over["conversation_id"] == course.frames("conversation_initiation_metadata")[0]["conversation_id"]


def test_tools_and_knowledge_beside_the_configuration(play: Play, orchestrator: str, mode: str) -> None:
    """`tools_config_list`, a list of texts as the SDK declares it, and a conversation_config without its document."""
    config = agent("tools")["conversation_config"]
    tools = config["agent"]["prompt"].pop("tools")
    more = {"tools_config_list": tools, "prompt_knowledge_base": ["We are in Rome.", "It rains on Mondays."]}
    course = play("two_turns", mode, orchestrator, "none", on_prem=setup(orchestrator, config, **more))
    assert [note["name"] for note in course.of("tool")] == ["order_status", "weather"]
    said = " ".join(course.texts("agent_response"))
    assert "Your order is shipped and arrives in 2 days." in said
    assert "It is sunny there." in said


def test_the_sdk_accepts_the_webhook_it_asked_for(play: Play, orchestrator: str, mode: str) -> None:
    """Its signature is good for the posted bytes and this secret, and for nothing else."""
    with receiver() as (address, posts):
        hook = {"url": f"{address}/record", "hmac_secret": SECRET}
        on_prem = setup(orchestrator, agent("hours"), post_call_transcription_webhook=hook)
        course = play("text", mode, orchestrator, "none", on_prem=on_prem)
        post = posts.get(timeout=15)
    event = verified(post)["event"]
    (metadata,) = course.frames("conversation_initiation_metadata")
    assert (post["path"], event["type"]) == ("/record", "post_call_transcription")
    assert event["data"]["conversation_id"] == metadata["conversation_id"]
    said = [turn["message"] for turn in event["data"]["transcript"]]
    assert said == [HELLO, "What are your opening hours?", ANSWER]
    assert "does not match" in verified(post, body=post["body"].replace("nine", "ten"))["error"]
    assert "does not match" in verified(post, secret=SECRET[:-1])["error"]
    assert "Missing" in verified(post, signature="")["error"]


def test_a_recording_is_posted_too(play: Play, orchestrator: str, mode: str) -> None:
    """As MP3, in chunks, signed like the record; the old form of the record's address is understood, and not signed."""
    with receiver() as (address, posts):
        hooks = {
            "post_call_audio_webhook": {"url": f"{address}/sound", "hmac_secret": SECRET},
            "post_call_transcription_webhook_url": f"{address}/record",
        }
        play("greeting", mode, orchestrator, "none", on_prem=setup(orchestrator, agent("hours"), **hooks))
        posted = {post["path"]: post for post in (posts.get(timeout=15), posts.get(timeout=15))}
    assert posted["/record"]["signature"] is None
    event = verified(posted["/sound"])["event"]
    assert event["type"] == "post_call_audio"
    assert event["data"]["conversation_id"] == json.loads(posted["/record"]["body"])["data"]["conversation_id"]
    mp3 = base64.b64decode(event["data"]["full_audio"])
    assert len(mp3) > 1000
    assert (mp3[0], mp3[1] & 0xE0) == (0xFF, 0xE0)  # an MPEG frame's sync word


def test_who_asks_for_what_is_not_allowed_is_told_so(play: Play, orchestrator: str, mode: str) -> None:
    """A private address, a short secret, an engine that is not listed: 1008 and a sentence, no conversation."""
    hook = {"url": "http://10.0.0.1/", "hmac_secret": SECRET}
    code, reason = refused(
        play, mode, orchestrator, setup(orchestrator, agent("hours"), post_call_transcription_webhook=hook)
    )
    assert code == 1008
    assert "webhook_hosts" in (reason or "")
    hook = {"url": "https://example.com/", "hmac_secret": SECRET[:15]}
    code, reason = refused(
        play, mode, orchestrator, setup(orchestrator, agent("hours"), post_call_transcription_webhook=hook)
    )
    assert code == 1008
    assert "16 characters" in (reason or "")
    config = agent("hours")
    config["conversation_config"]["antiphon"]["tts"] = {"engine": "command"}
    code, reason = refused(play, mode, orchestrator, setup(orchestrator, config))
    assert code == 1008
    assert "command" in (reason or "")


def test_without_the_flag_there_is_no_such_socket(play: Play, server: str, mode: str) -> None:
    """The handshake itself is answered with 404."""
    (disconnect,) = play("refused", mode, server, "none", on_prem=setup(server, agent("hours"))).of("disconnect")
    assert disconnect["reason"] == "error"
    assert "404" in disconnect["message"]


def test_a_public_server_wants_the_key(play: Play, serving: Serving, key: str, mode: str) -> None:
    """The SDK connects to the address as it is: the key stands in it, and a wrong one is as good as none."""
    with serving("--allow-client-config", "--host", "0.0.0.0", **ENGINES) as address:
        here = address.replace("0.0.0.0", "127.0.0.1")
        for who in ("", "key:wrong@"):
            on_prem = setup(here.replace("//", f"//{who}"), agent("hours"))
            code, reason = refused(play, mode, here, on_prem)
            assert code == 1008
            assert "workspace key" in (reason or "")
        on_prem = setup(here.replace("//", f"//key:{key}@"), agent("hours"))
        course = play("greeting", mode, here, "none", on_prem=on_prem)
        assert course.texts("agent_response") == [HELLO]
