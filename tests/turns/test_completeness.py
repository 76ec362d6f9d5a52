"""What a partial transcript says about whether a turn is over (turns/completeness.py)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turns.completeness import Completeness, completeness, expectation
from antiphon.turns.observations import Expectation
from antiphon.turns.vocabulary import LANGUAGES, vocabulary

FINISHED, OPEN, UNFINISHED, DICTATING = (
    Completeness.FINISHED,
    Completeness.OPEN,
    Completeness.UNFINISHED,
    Completeness.DICTATING,
)
ANYTHING, NUMBER, SPELLING, ADDRESS = (
    Expectation.ANYTHING,
    Expectation.NUMBER,
    Expectation.SPELLING,
    Expectation.ADDRESS,
)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes, please.",
        "no thanks",
        "okay thank you bye",
        "that's all",
        "that’s right",
        "i'd like a table for four please",
        "What are your opening hours?",
        "yes it is",
        "never mind",
    ],
)
def test_what_is_said_whole_is_finished(text: str) -> None:
    """Yes and no, closed phrases, endings after which nothing is missing, final punctuation."""
    assert completeness(text) is FINISHED


@pytest.mark.parametrize(
    "text",
    [
        "i would like a table and",
        "but",
        "this is my",
        "can you tell me the",
        "can you tell me",
        "i want to go to",
        "my name is",
        "it's because",
        "um",
        "well",
        "yes,",
        "i was wondering",
        "My name is.",
        "and then...",
        "let me see",
        "one moment please",
        "i'm calling because of",
        "is there",
    ],
)
def test_what_nobody_ends_on_is_unfinished(text: str) -> None:
    """Conjunctions, possessives, open questions, hesitation; a recogniser's full stop does not change that."""
    assert completeness(text) is UNFINISHED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "i'd like a table for four",
        "what time is it",
        "where are you from",
        "my dog ate the homework",
        "no i don't",
    ],
)
def test_of_most_sentences_nothing_is_known(text: str) -> None:
    """Without punctuation, which many recognisers do not write, a whole sentence looks like half of one."""
    assert completeness(text) is OPEN


@pytest.mark.parametrize(
    "text",
    [
        "my number is four one five",
        "my phone number is 415 555",
        "4242 4242 4242",
        "it's four two four two",
        "my card number is 4242 4242 4242",
        "the code is double",
        "it's spelled s m",
        "a b c",
        "my order number is forty seven",
        "555-",
    ],
)
def test_a_number_or_a_spelling_shows_itself(text: str) -> None:
    """Announced, or in a row of single digits or letters: it need not have been asked for."""
    assert completeness(text, "en", NUMBER if text == "555-" else ANYTHING) is DICTATING


@pytest.mark.parametrize(
    "text", ["a table for four", "we are two", "at seven", "on the fifth", "i'm forty two", "in 2026"]
)
def test_a_number_in_a_sentence_is_no_dictation(text: str) -> None:
    """Quantities and times are said in one breath."""
    assert completeness(text) is OPEN


@pytest.mark.parametrize(
    ("text", "expects"),
    [
        ("four one five", NUMBER),
        ("415", NUMBER),
        ("４１５", NUMBER),
        ("٤١٥", NUMBER),
        ("oh four four one seven nine one", NUMBER),
        ("four two four two four two four two four two four two", NUMBER),
        ("march third", NUMBER),
        ("March 3.", NUMBER),
        ("march third nineteen", NUMBER),
        ("s m i", SPELLING),
        ("smith s m i t", SPELLING),
        ("sierra mike", SPELLING),
        ("john dot smith at gmail", SPELLING),
        ("john.smith@", SPELLING),
        ("john dot smith at gmail dot", SPELLING),
        ("twelve main street", ADDRESS),
        ("12 Main Street, Springfield", ADDRESS),
        ("12 Main Street.", ADDRESS),
    ],
)
def test_an_answer_that_is_dictated_is_not_over_before_it_is_whole(text: str, expects: Expectation) -> None:
    """Fewer digits than a number of that kind has; letters; an address without its town or code."""
    assert completeness(text, "en", expects) is DICTATING


@pytest.mark.parametrize(
    ("text", "expects"),
    [
        ("four one five five five five one two three four", NUMBER),
        ("four one five, double five five, one two three four", NUMBER),
        ("415-555-1234", NUMBER),
        ("(415) 555 1234", NUMBER),
        ("my number is 1 415 555 1234", NUMBER),
        ("4242 4242 4242 4242", NUMBER),
        ("03/04/1984", NUMBER),
        ("march third nineteen eighty four", NUMBER),
        ("forty dollars", NUMBER),
        ("it's 4711 that's all", NUMBER),
        ("no", NUMBER),
        ("i don't know", NUMBER),
        ("smith s m i t h", SPELLING),
        ("john dot smith at gmail dot com", SPELLING),
        ("john.smith@gmail.com", SPELLING),
        ("it's j o that's it", SPELLING),
        ("12 Main Street, Springfield, Illinois 62704", ADDRESS),
        ("twelve main street springfield illinois six two seven oh four", ADDRESS),
        ("10 Downing Street, London SW1A 2AA", ADDRESS),
        ("Can you repeat that?", ADDRESS),
    ],
)
def test_a_whole_one_is_finished(text: str, expects: Expectation) -> None:
    """A telephone number with its area code, a card, a date, a name and its spelling, a mail or postal address."""
    assert completeness(text, "en", expects) is FINISHED


@pytest.mark.parametrize("text", ["yes", "sure", "okay", "of course"])
@pytest.mark.parametrize("expects", [NUMBER, SPELLING, ADDRESS])
def test_assent_only_announces_what_was_asked_for(text: str, expects: Expectation) -> None:
    """ "May I have your number?" - "Sure." - is not the answer yet."""
    assert completeness(text, "en", expects) is OPEN


@pytest.mark.parametrize(
    ("language", "text", "expects", "judged"),
    [
        ("de", "ja genau", ANYTHING, FINISHED),
        ("de", "ich hätte gern", ANYTHING, UNFINISHED),
        ("de", "ich möchte einen Tisch und", ANYTHING, UNFINISHED),
        ("de", "meine nummer ist null eins sieben", ANYTHING, DICTATING),
        ("de", "null eins sieben einundzwanzig zweiunddreißig vierundvierzig drei", NUMBER, FINISHED),
        ("de", "Hauptstraße 5, 10115 Berlin", ADDRESS, FINISHED),
        ("fr", "oui merci", ANYTHING, FINISHED),
        ("fr", "je voudrais une table pour", ANYTHING, UNFINISHED),
        ("fr", "zéro six douze trente-quatre", NUMBER, DICTATING),
        ("fr", "zéro six douze trente quatre cinquante six soixante dix-huit", NUMBER, FINISHED),
        ("fr", "zéro un quatre vingt deux douze douze douze", NUMBER, FINISHED),
        ("es", "sí, gracias", ANYTHING, FINISHED),
        ("es", "quiero reservar una mesa para", ANYTHING, UNFINISHED),
        ("es", "seis uno dos treinta y cuatro", NUMBER, DICTATING),
        ("es", "seis uno dos treinta y cuatro cincuenta y seis setenta y ocho", NUMBER, FINISHED),
        ("it", "va bene grazie", ANYTHING, FINISHED),
        ("it", "vorrei prenotare un tavolo per", ANYTHING, UNFINISHED),
        ("it", "tre tre uno ventidue", NUMBER, DICTATING),
        ("pt", "sim por favor", ANYTHING, FINISHED),
        ("pt-BR", "eu queria marcar uma consulta com", ANYTHING, UNFINISHED),
        ("pt", "nove um dois meia", NUMBER, DICTATING),
        ("nl", "nee dank u", ANYTHING, FINISHED),
        ("nl", "ik wil graag een tafel voor", ANYTHING, UNFINISHED),
        ("nl", "nul zes eenentwintig", NUMBER, DICTATING),
        ("pl", "tak proszę", ANYTHING, FINISHED),
        ("pl", "chciałbym zarezerwować stolik dla", ANYTHING, UNFINISHED),
        ("pl", "sześćset dwa trzydzieści", NUMBER, DICTATING),
        ("ja", "東京です。", ANYTHING, FINISHED),
        ("ja", "０９０", NUMBER, DICTATING),
        ("ru", "я хочу,", ANYTHING, UNFINISHED),
        ("xx", "blah blah", ANYTHING, OPEN),
    ],
)
def test_other_languages_are_judged_by_their_own_words(
    language: str, text: str, expects: Expectation, judged: Completeness
) -> None:
    """Word lists where there are some; digits and punctuation everywhere."""
    assert completeness(text, language, expects) is judged


@pytest.mark.parametrize(
    ("question", "expects"),
    [
        ("What is your phone number?", NUMBER),
        ("Thanks, Anna. And could you give me your card number, please?", NUMBER),
        ("May I have your date of birth?", NUMBER),
        ("Please tell me your order number.", NUMBER),
        ("Do you have your order number?", NUMBER),
        ("Could you spell that for me?", SPELLING),
        ("What's your e-mail address?", SPELLING),
        ("What is your email?", SPELLING),
        ("Your address please.", ADDRESS),
        ("Where should we send it?", ADDRESS),
        ("What is your phone number? Take your time.", NUMBER),
        ("How can I help you?", ANYTHING),
        ("Your order number is 4711. Anything else?", ANYTHING),
        ("Is 4711 your order number?", ANYTHING),
        ("I have sent it to your address.", ANYTHING),
        ("", ANYTHING),
    ],
)
def test_a_question_tells_what_kind_of_answer_will_come(question: str, expects: Expectation) -> None:
    """By what it names; a statement asks for nothing, and a question that yes answers for no dictation."""
    assert expectation(question) is expects


def test_a_tools_open_parameter_decides_where_the_question_does_not() -> None:
    """Where they share a word, or the question is to say again the only thing that is missing."""
    order = "order: The order's number"
    assert expectation("Which order is it about?", [order, "reason: Why it is returned"]) is NUMBER
    assert expectation("Could you repeat that?", [order]) is NUMBER
    assert expectation("Could you repeat that?", [order, "reason: Why it is returned"]) is ANYTHING
    assert expectation("How can I help you?", [order]) is ANYTHING
    assert expectation("And the delivery?", ["delivery_address: Where to deliver to, street and town"]) is ADDRESS


@pytest.mark.parametrize(
    ("language", "question", "expects"),
    [
        ("de", "Wie ist Ihre Telefonnummer?", NUMBER),
        ("de", "Können Sie das bitte buchstabieren?", SPELLING),
        ("de", "Wie lautet Ihre Adresse?", ADDRESS),
        ("fr", "Quel est votre numéro de téléphone ?", NUMBER),
        ("es", "¿Me puede decir su número de pedido?", NUMBER),
        ("it", "Qual è il suo indirizzo?", ADDRESS),
        ("pt", "Qual é o seu endereço?", ADDRESS),
        ("nl", "Wat is uw telefoonnummer?", NUMBER),
        ("pl", "Jaki jest numer zamówienia?", NUMBER),
        ("ja", "電話番号は何ですか？", ANYTHING),
    ],
)
def test_questions_are_understood_in_the_languages_with_words(
    language: str, question: str, expects: Expectation
) -> None:
    """Elsewhere nothing is known."""
    assert expectation(question, (), language) is expects


@given(st.text(max_size=80), st.sampled_from([*sorted(LANGUAGES), "ja", ""]), st.sampled_from(Expectation))
def test_any_text_is_judged(text: str, language: str, expects: Expectation) -> None:
    """Whatever a recogniser writes, and whatever an agent says."""
    assert completeness(text, language, expects) in Completeness
    assert expectation(text, [text], language) in Expectation


@given(
    st.lists(
        st.sampled_from(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")),
        min_size=1,
        max_size=9,
    )
)
def test_a_number_is_never_whole_before_its_last_digit(digits: list[str]) -> None:
    """No shorter beginning of a telephone number with its area code ends the turn early."""
    assert completeness(" ".join(digits), "en", NUMBER) is DICTATING


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_no_words_contradict_each_other(language: str) -> None:
    """A word on which nobody ends is no digit, and every closed phrase is judged as one."""
    words = vocabulary(language)
    assert all(completeness(phrase, language) is FINISHED for phrase in words.closed)
    assert words.assent <= words.closed
    assert words.units.isdisjoint(words.teens | words.tens)
