"""Languages by their codes: what they are called, and the three letters that some clients write for them."""

from __future__ import annotations

from collections.abc import Mapping

_TABLE = """
af afr Afrikaans|ar ara Arabic|as asm Assamese|az aze Azerbaijani|ba bak Bashkir|be bel Belarusian|bg bul Bulgarian|
bn ben Bengali|bs bos Bosnian|ca cat Catalan|cs ces Czech|cv chv Chuvash|cy cym Welsh|da dan Danish|de deu German|
el ell Greek|en eng English|eo epo Esperanto|es spa Spanish|et est Estonian|eu eus Basque|fa fas Persian|
fi fin Finnish|fil fil Filipino|fo fao Faroese|fr fra French|ga gle Irish|gd gla Scottish Gaelic|gl glg Galician|
gn grn Guarani|gu guj Gujarati|ha hau Hausa|he heb Hebrew|hi hin Hindi|hr hrv Croatian|ht hat Haitian Creole|
hu hun Hungarian|hy hye Armenian|ia ina Interlingua|id ind Indonesian|is isl Icelandic|it ita Italian|ja jpn Japanese|
jv jav Javanese|ka kat Georgian|kk kaz Kazakh|kn kan Kannada|ko kor Korean|ku kur Kurdish|ky kir Kyrgyz|la lat Latin|
lb ltz Luxembourgish|lt lit Lithuanian|lv lav Latvian|mi mri Maori|mk mkd Macedonian|ml mal Malayalam|mr mar Marathi|
ms msa Malay|mt mlt Maltese|my mya Burmese|ne nep Nepali|nl nld Dutch|no nor Norwegian|om orm Oromo|or ori Odia|
pa pan Punjabi|pl pol Polish|ps pus Pashto|pt por Portuguese|pt-br por Brazilian Portuguese|qu que Quechua|
ro ron Romanian|ru rus Russian|sd snd Sindhi|si sin Sinhala|sk slk Slovak|sl slv Slovenian|so som Somali|
sq sqi Albanian|sr srp Serbian|sv swe Swedish|sw swa Swahili|ta tam Tamil|te tel Telugu|th tha Thai|tk tuk Turkmen|
tl tgl Tagalog|tr tur Turkish|tt tat Tatar|ug uig Uyghur|uk ukr Ukrainian|ur urd Urdu|uz uzb Uzbek|vi vie Vietnamese|
yue yue Cantonese|zh zho Chinese
"""

_ROWS = [row.strip().split(" ", 2) for row in _TABLE.replace("\n", "").split("|")]
NAMES: Mapping[str, str] = {code: name for code, _, name in _ROWS}
"ISO 639-1 code -> name in English."
_LONG = {long: code for code, long, _ in reversed(_ROWS)}


def language_name(code: str) -> str:
    """What a language is called; the code itself where nobody knows."""
    return NAMES.get(code, code)


def short_code(code: str) -> str:
    """A language's code as agents have it: in lower case, two letters where there are two."""
    code = code.strip().lower()
    return _LONG.get(code, code)
