# SPDX-License-Identifier: Apache-2.0
"""Writes words in phonetic script with eSpeak NG: a program of its own. A word a line on stdin, its IPA on stdout.

    python -m antiphon.engines.stt.pronounce_program < words

While it runs it loads libespeak-ng, which is GPL-3.0-or-later; that is why it is a program: nothing imports it.
It ends with status 1 where espeak-ng is not installed.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes.util import find_library

RETRIEVAL, DONT_EXIT = 1, 0x8000
UTF8, IPA = 1, 2


def main() -> int:
    """Read, pronounce, write."""
    try:
        import espeakng_loader

        library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path().encode()
    except ImportError:
        library, data = find_library("espeak-ng"), None
    if library is None:
        return 1
    espeak = ctypes.CDLL(library)
    if espeak.espeak_Initialize(RETRIEVAL, 0, data, DONT_EXIT) < 0 or espeak.espeak_SetVoiceByName(b"en-us") != 0:
        return 1
    espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
    espeak.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    for line in sys.stdin.buffer.read().splitlines():
        text = ctypes.create_string_buffer(line)
        rest = ctypes.c_void_p(ctypes.addressof(text))
        spoken: list[str] = []
        while rest.value:
            spoken.append(espeak.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, IPA).decode())
        sys.stdout.buffer.write(" ".join(spoken).encode() + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
