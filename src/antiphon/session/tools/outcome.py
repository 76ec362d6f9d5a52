"""The values a tool call comes to: they belong to dialogue/, where they are acted upon."""

from antiphon.dialogue.outcome import *  # noqa: F403
