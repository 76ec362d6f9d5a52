"""The `antiphon` command, one file per verb.

Verbs import what they need when they run, so that `antiphon --help` answers at once and a missing extra is named by the
verb that needs it.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

try:
    import typer
except ImportError:
    sys.exit("antiphon: the command needs the server's packages: pip install 'antiphon[all]'")

from . import agents, archives, demo, doctor, keys, parity, replay, serve, simulate, talk

app = typer.Typer(
    name="antiphon",
    help="Open, self-hosted voice agents that speak the ElevenLabs Agents (ConvAI) protocol.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(demo.demo)
app.command()(talk.talk)
app.command()(replay.replay)
app.command()(doctor.doctor)
app.command()(simulate.simulate)
app.command()(parity.parity)
app.add_typer(keys.app, name="keys")
app.add_typer(agents.app, name="agents")
app.add_typer(archives.workspace, name="workspace")
app.add_typer(archives.users, name="users")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"antiphon {importlib.metadata.version('antiphon')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Open, self-hosted voice agents that speak the ElevenLabs Agents (ConvAI) protocol."""
