"""What is spoken of a text, and where it came from."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engines.tts.speakable import BLOCK, DIGITS, RUN, blocks


def spoken(text: str) -> str:
    return "|".join(block.text for block in blocks(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, as it is.", "plain text, as it is."),
        ("**bold** and *slanted* and ***both***", "bold and slanted and both"),
        ("これは**太字**です", "これは太字です"),
        ("5 * 3, 2*3 and 2**3", "5 * 3, 2*3 and 2**3"),
        ("**5 items** 7, **5** 6", "5 items 7, 5 6"),
        ("# Title\n- one\n* two\n+ three\n> four\n5 - 4", "Title\none\ntwo\nthree\nfour\n5 - 4"),
        ("-5 degrees", "-5 degrees"),
        ("`code` and ```block``` and __init__ and ~~gone~~", "code and block and init and gone"),
        ("see [our site](https://example.com/a?b=1)!", "see our site!"),
        ("see ![a picture](image.png)", "see a picture"),
        ("[unclear] audio (aside)", "[unclear] audio (aside)"),
        ("go to https://example.com/a", "go to example.com/a"),
        ('<speak>Hi<break time="1s"/>there, <b>you</b>.</speak>', "Hi there, you."),
        ("5 < 3 > 2, I <3 you", "5 < 3 > 2, I <3 you"),
        ("Great 😀! 👍🏽 1️⃣ ✓ → next", "Great !  1   next"),
        ("20 °C, №5, ±1, ≈2, €3", "20 °C, №5, ±1, ≈2, €3"),
        ("a\x00b\x01c\x1b\x7fd", "a b c  d"),
        ("au\u00adto\u202etext\ufeff", "autotext"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\ud800lone", "lone"),
    ],
)
def test_markup_is_not_spoken(text: str, expected: str) -> None:
    """Markdown, tags, emoji and control characters go; what has a meaning of its own stays."""
    assert spoken(text) == expected


@pytest.mark.parametrize("text", ["", " \n\t", "...", "?!", "😀 👍", "***", "- - -", "\x00", "“”", "<br/>"])
def test_there_may_be_nothing_to_say(text: str) -> None:
    """Then there is no block."""
    assert list(blocks(text)) == []


def test_a_long_text_is_cut_where_a_reader_would_pause() -> None:
    """At the end of a sentence if one ends in the second half of a block, else at a comma, else at a space."""
    sentence = "This is a sentence of some length, " * 4 + "and it ends here. "
    for block in list(blocks(sentence * 4))[:-1]:
        assert block.text.endswith("here. ")
    for block in list(blocks("now this goes on and on, " * 30))[:-1]:
        assert block.text.endswith(", ")
    for block in list(blocks("word " * 100))[:-1]:
        assert block.text.endswith(" ")


def test_a_long_run_is_cut_where_the_synthesiser_would_drop_the_rest() -> None:
    """Nothing of it is lost."""
    assert [len(block.text) for block in blocks("a" * (RUN * 2 + 5))] == [RUN, RUN, 5]
    assert [len(block.text) for block in blocks("1" * (DIGITS + 5))] == [DIGITS, 5]
    assert spoken("Hello " + "x" * 90).replace("|", "") == "Hello " + "x" * 90


_TEXT = st.text(st.one_of(st.characters(), st.sampled_from("ab1*_`#[]()<>/\\ \n.,!?-😀\u200d")), max_size=3 * BLOCK)


@given(_TEXT)
def test_the_blocks_cover_the_text(text: str) -> None:
    """In order, every spoken character from one place of the text, and none left over at the end."""
    done = 0
    for block in blocks(text):
        assert 0 < len(block.text) == len(block.sources) <= BLOCK
        assert block.sources == sorted(set(block.sources))
        assert done <= block.sources[0]
        assert block.sources[-1] < block.end
        done = block.end
    assert done in (0, len(text))


@given(_TEXT)
def test_only_characters_that_can_be_spoken_are_sent(text: str) -> None:
    """Control characters would be commands to the synthesiser; a character that is spoken is the text's, or a space."""
    for block in blocks(text):
        block.text.encode()
        for char, source in zip(block.text, block.sources, strict=True):
            assert char == "\n" or unicodedata.category(char)[0] != "C" or char in "\u200c\u200d"
            assert char in (text[source], " ")
