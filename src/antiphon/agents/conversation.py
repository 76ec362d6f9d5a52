"""The import path that the original SDK is moving to in 3.0: the very module `antiphon.conversational_ai.conversation`.

It is here for that path alone; nothing in this room knows it.
"""

from __future__ import annotations

import sys

from antiphon.conversational_ai import conversation
from antiphon.conversational_ai.conversation import *  # noqa: F403 - for type checkers; the next line is what counts

sys.modules[__name__] = conversation
