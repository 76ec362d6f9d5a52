"""`python -m antiphon`: the command, without its script."""

from __future__ import annotations

from antiphon.cli import app

if __name__ == "__main__":
    app(prog_name="antiphon")
