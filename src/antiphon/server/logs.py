"""Log lines for people: constant messages, what they are about beside them."""

from __future__ import annotations

import json
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


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (seconds since 1970), `level`, `logger`, `message`, and whatever it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line |= {"time": round(record.created, 6), "level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=repr)


def log_to_stderr(level: str, form: str = "text") -> None:
    """Have this process log to standard error. `level`: debug, info, warning or error. `form`: text or json."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    # Of others' lines, only what is wrong: below that they hold addresses with signatures, headers with keys, and
    # statements with what is kept.
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]), handlers=[handler])
    logging.getLogger("antiphon").setLevel(level.upper())
