"""Log lines for people: constant messages, what they are about beside them."""

from __future__ import annotations

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"What every record has; anything else was given as `extra`."


class LineFormatter(logging.Formatter):
    """`2026-01-01 12:00:00,000 INFO antiphon.server.websocket: conversation ended conversation_id='conv_...'`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """The line, before any traceback. Values are quoted: some of them come from strangers."""
        about = "".join(f" {name}={value!r}" for name, value in vars(record).items() if name not in _STANDARD)
        return super().formatMessage(record) + about


def log_to_stderr(level: str) -> None:
    """Have this process log to standard error. `level`: debug, info, warning or error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # Their INFO lines hold whole addresses, and those hold signatures, or tell of every start what nobody asks.
    for name in ("uvicorn", "httpx", "httpx2", "mcp", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
