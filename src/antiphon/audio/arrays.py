"""numpy, fetched when sound is first calculated with: a client that only passes bytes on never loads it."""

from __future__ import annotations

from antiphon.errors import ConfigError


def load_numpy():  # the type inferred for the result is the module itself, with all that is in it
    """The numpy module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import numpy
    except ImportError as error:
        raise ConfigError(
            "converting audio needs numpy: pip install 'antiphon[audio]' on a client, 'antiphon[server]' on a server"
        ) from error
    return numpy
