"""The same conversations held by Antiphon, Pipecat and LiveKit Agents, measured alike.

    python -m benchmarks.peers [--rounds 2] [--only overhead,gap,socket,cpu]

Every party gets the same sound, the same words and the same waits (`work.py`); what differs is what lies between the
caller's last sound and the agent's first. The peers are installed into an environment of their own, which `--install`
makes from `requirements.lock`; without it Antiphon is measured alone. Each measurement runs in a process of its own,
bound to one core; those that are compared run at the same time or one after another in the same round, and ratios are
taken within a round.

`work.py` is the work; `antiphon_party.py`, `pipecat_party.py` and `livekit_party.py` do it; `worker.py` is one process;
`socket_server.py` and `socket_client.py` are two, with a loopback WebSocket between them; `__main__.py` runs them
and prints the table.
"""
