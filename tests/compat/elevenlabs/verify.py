"""Shows a webhook to the unmodified elevenlabs SDK, as its receiver would, and prints what the SDK makes of it.

    .venv-compat/elevenlabs/bin/python verify.py < {"body": "...", "signature": "...", "secret": "..."}

Prints, as JSON, `{"event": ...}` or `{"error": ...}`. Imports nothing of Antiphon.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from elevenlabs import ElevenLabs
from elevenlabs.errors import BadRequestError


def main() -> None:
    """Verifies what comes on standard input."""
    given: dict[str, Any] = json.load(sys.stdin)
    client = ElevenLabs(api_key="none")
    try:
        event = client.webhooks.construct_event(given["body"], given["signature"], given["secret"])
    except BadRequestError as error:
        print(json.dumps({"error": error.body.error}))
    else:
        print(json.dumps({"event": event}))


if __name__ == "__main__":
    main()
