"""`antiphon serve`: the server, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from antiphon.errors import AntiphonError


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0: any free one [default: 8080].")] = None,
    agents: Annotated[Path | None, typer.Option(help="Folder of agent files, *.json [default: agents].")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of what the server keeps [default: data].")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    public_url: Annotated[str | None, typer.Option(help="The server's address as clients see it.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate; with --tls-key: https and wss.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM private key.")] = None,
    allow_client_config: Annotated[
        bool | None, typer.Option("--allow-client-config", help="Let clients bring their own agent.")
    ] = None,
) -> None:
    """Serve the agents of a folder.

    Every setting can also be given as ANTIPHON_<NAME> or in the --config file (docs/settings.md). When ready, one line
    goes to standard output: "antiphon ready http://127.0.0.1:8080". SIGTERM ends live conversations in good order.
    """
    from antiphon.server import serve as run
    from antiphon.server.settings import Settings

    try:
        settings = Settings.load(
            config,
            host=host,
            port=port,
            agents=agents,
            data=data,
            public_url=public_url,
            tls_cert=tls_cert,
            tls_key=tls_key,
            allow_client_config=allow_client_config,
        )
    except AntiphonError as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(run(settings))
