"""Words that tell whether a turn is over, per language: what nobody ends on, what is said whole, what is dictated.

Lists of common words, not grammars: what a language lacks here is judged by digits and punctuation alone. All is in
lower case. A phrase that ends a sentence as often as not stands in no list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

Pattern = re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One language."""

    dangling: frozenset[str] = frozenset()
    "Last words after which more must come: conjunctions, articles, possessives, hesitations."
    stems: Pattern | None = None
    "Ends of an utterance that open a question or a wish: `can you tell me`."
    elliptic: Pattern | None = None
    "Whole utterances that end on a dangling word all the same: `yes it is`, `where are you from`."
    closed: frozenset[str] = frozenset()
    "Words and phrases of which a whole utterance may consist: `yes`, `thank you`."
    assent: frozenset[str] = frozenset()
    "Those of them that only announce what is dictated next."
    last: Pattern | None = None
    "Ends of an utterance after which nothing is missing: `please`, `that's all`."
    refusal: Pattern | None = None
    "Beginnings of an utterance that is no dictation although one was asked for: `I don't`, `can you`."
    units: frozenset[str] = frozenset()
    "Words of one digit."
    teens: frozenset[str] = frozenset()
    "Words of two digits that no digit follows."
    tens: frozenset[str] = frozenset()
    "Words of two digits that a digit may complete."
    compound: Pattern | None = None
    "One word of two digits, made of both: `einundzwanzig`."
    scales: Mapping[str, int] = field(default_factory=dict[str, int])
    "Hundred and the like, with the digits that they add."
    repeats: Mapping[str, int] = field(default_factory=dict[str, int])
    "Double, triple: how often the next digit counts."
    joins_teens: frozenset[str] = frozenset()
    "Tens that eleven and the like complete, too: `soixante douze`."
    merges: Mapping[str, str] = field(default_factory=dict[str, str])
    "Numbers of two words, as one."
    joiners: frozenset[str] = frozenset()
    "Words within a number: `treinta y uno`."
    separators: frozenset[str] = frozenset()
    "Said between what is dictated, never at its end: `dot`, `dash`, `at`."
    spelled: frozenset[str] = frozenset()
    "Names of letters: spelling alphabets, `double-u`."
    domains: frozenset[str] = frozenset(
        (
            "com",
            "org",
            "net",
            "edu",
            "gov",
            "info",
            "io",
            "eu",
            "de",
            "fr",
            "es",
            "it",
            "pt",
            "nl",
            "pl",
            "uk",
            "us",
            "at",
            "ch",
            "be",
        )
    )
    "What an e-mail address may end on."
    announces: Pattern | None = None
    "What comes before a dictated number in a sentence: `my number is`."
    whole_number: frozenset[int] = frozenset({10, 11})
    "Digits of a telephone number with its area code."
    units_of_measure: Pattern | None = None
    "Ends of an amount, a time, a date: the number is whole."
    months: frozenset[str] = frozenset()
    spelling: Pattern | None = None
    number: Pattern | None = None
    address: Pattern | None = None
    "What an agent asks for, in its question or in the description of a tool's parameter."
    again: Pattern | None = None
    "Requests to repeat, or to go on with, what was asked for before."
    asks: Pattern | None = None
    "Requests that need no question mark."
    yes_or_no: Pattern | None = None
    "Beginnings of questions that yes or no answers."


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in text.split(",") if phrase.strip())


def _ends(*phrases: str) -> Pattern:
    return re.compile(r"(?:^|\s)(?:" + "|".join(phrases) + r")$")


def _begins(*phrases: str) -> Pattern:
    return re.compile(r"^(?:" + "|".join(phrases) + r")\b")


def _has(*phrases: str) -> Pattern:
    return re.compile(r"\b(?:" + "|".join(phrases) + r")\b")


_ALPHABET = _words(
    "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey whisky x-ray xray yankee zulu"
)


def _english() -> Vocabulary:
    return Vocabulary(
        dangling=_words(
            "and or but so because since if when while although unless until whether which whose than as nor plus "
            "the a an my your our their his its every some any very another "
            "to of from with for by at about into between without during towards via near under per "
            "is are was were am be been being i'm you're we're they're it's he's she's that's there's what's where's "
            "who's how's name's number's i'd we'd you'd i'll we'll you'll it'll i've we've you've "
            "can could will would should might must may gonna wanna "
            "um uh er erm uhm umm uhh ehm hm hmm well mr mrs ms dr actually basically maybe let's"
        ),
        stems=_ends(
            r"(?:can|could|would|will|may|might|do|did|are|have|should|shall) (?:you|i|we|they)",
            r"(?:tell|give|show|send|help|ask|let|call|book|get) me",
            r"(?:i|we|you|they) (?:want|need|have|like|think|mean|guess|was wondering|wanted|needed|would like|got)",
            r"(?:i'd|we'd|would) (?:like|love|prefer|rather)",
            r"(?:i'm|we're|i was|we were) (?:calling|looking|trying|wondering|thinking|asking|having|going)",
            r"(?:what|where|when|how|why) (?:is|are|do|does|did|can|about|much|many|long)",
            r"^(?:(?:so|and|but|ok|okay|yes|well) )?(?:is|are|was) (?:there|it|this|that)",
            r"let me (?:see|check|think|look)(?: \S+){0,3}",
            r"(?:one|just a|give me a|wait a|hold on a) (?:moment|second|minute|sec)(?: please)?",
            r"hold on|hang on|let's see|sort of|kind of|a lot of|you know|the thing is|because of",
        ),
        elliptic=re.compile(
            r"^(?:(?:yes|yeah|yep|no|nope|sure|ok|okay) )?(?:i|it|we|you|they|he|she|that|there)"
            r" (?:is|are|am|was|were|can|could|will|would|should|might|must|may|have|do|did)$"
            r"|^(?:what|where|who|which|how)\b.* (?:for|from|to|with|about|of|at|by|than|is|are|am)$"
            r"|^i (?:think|hope) so$|^(?:\\S+ ){1,3}or so$"
        ),
        closed=_phrases(
            "yes, yeah, yep, yup, no, nope, nah, sure, okay, ok, alright, all right, right, correct, exactly, "
            "absolutely, definitely, certainly, of course, perfect, great, good, fine, please, thanks, thank you, "
            "thank you very much, thanks a lot, bye, goodbye, bye bye, hello, hi, good morning, good evening, "
            "that's it, that's all, that's right, that's correct, that's fine, that's wrong, that works, "
            "that is it, that is all, that is right, that is correct, nothing, nothing else, never mind, "
            "no problem, not yet, not really, i don't know, i do, i do not, i don't think so, i think so, i agree, "
            "sounds good, go ahead, no thanks, no thank you, yes please, got it, i see, sir, maam, ma'am, cancel, "
            "repeat that, say that again, see you, have a nice day, have a good day, you too, it is, it isn't, "
            "yes it is, no it isn't, i am, yes i am, no i'm not, i'm not, i can't, i can, you can, cool, "
            "neither, both"
        ),
        assent=_phrases("yes, yeah, yep, yup, sure, okay, ok, alright, all right, right, of course, certainly, i do"),
        last=_ends(
            "please",
            "thanks",
            "thank you",
            "thank you very much",
            "that's it",
            "that's all",
            "that is all",
            "that is it",
            "nothing else",
            "isn't it",
            "right now",
            "as soon as possible",
            "if possible",
            "or not",
            "never mind",
            "instead",
            "goodbye",
            "bye",
            "at all",
            "don't you",
            "is that right",
            "is that ok",
        ),
        refusal=_begins(
            "no",
            "nope",
            "i do ?n[o']t",
            "i ca ?n[o']t",
            "i can't",
            "i'm not",
            "i am not",
            "why",
            "what",
            "how",
            "who",
            "where",
            "can you",
            "could you",
            "would you",
            "do you",
            "sorry",
            "pardon",
            "excuse me",
            "wait",
            "stop",
            "i forgot",
            "i lost",
            "i have no",
            "i've no",
            "i'd rather",
            "never mind",
            "cancel",
        ),
        units=_words("zero oh o one two three four five six seven eight nine nought nil"),
        teens=_words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"),
        tens=_words("twenty thirty forty fourty fifty sixty seventy eighty ninety"),
        scales={"hundred": 2, "thousand": 3},
        repeats={"double": 2, "triple": 3, "treble": 3},
        separators=_words("dot dash hyphen minus underscore slash at space comma point plus hash then capital"),
        spelled=_ALPHABET
        | _words("double-u ay bee cee dee ee eff gee aitch jay kay ell em en pee cue ar ess tee vee ex zee zed"),
        announces=_has(
            r"(?:number|code|pin|id|account|card|phone|mobile|cell|zip|reference|order|extension|digits?)"
            r"(?:'s| is| was| are| ends with| starts with| begins with| number)?",
            r"call me (?:back )?(?:at|on)",
            r"reach me (?:at|on)",
        ),
        units_of_measure=_ends(
            r"(?:dollars?|euros?|pounds?|cents?|percent|people|persons?|o'clock|am|pm|a m|p m|hours?|minutes?|days?|"
            r"weeks?|months?|years?|times|tickets?|nights?|in the (?:morning|afternoon|evening)|today|tomorrow|"
            r"tonight)"
        ),
        months=_words("january february march april may june july august september october november december"),
        spelling=_has(
            "spell(?:ing|ed)?",
            "letter by letter",
            "e-?mail(?: address)?",
            "web ?(?:site|address)",
            "user ?name",
            r"(?:booking|confirmation|reference|promo|voucher|discount|record) (?:code|locator)",
            "licen[cs]e plate",
            "registration",
            "serial number",
            "vin",
            "password",
            "postcode",
            "postal code",
        ),
        number=_has(
            "numbers?",
            "digits?",
            "pin",
            "zip(?: code)?",
            "iban",
            "date of birth",
            "birth ?da(?:y|te)",
            "when were you born",
            "expir(?:y|ation)(?: date)?",
            "cvv",
            "cvc",
            "(?:security|access|area|sort) code",
            "phone",
            "telephone",
        ),
        address=_has(
            "address",
            "where (?:do|are) you (?:live|living|located)",
            "street",
            "house number",
            r"where (?:should|shall|can|do) (?:we|i) (?:send|deliver|ship|mail|come|pick)",
            "pick-?up location",
            "place of residence",
        ),
        again=_has("again", "repeat", "once more", "the rest", "continue", "go on", "go ahead", "what (?:was|is) it"),
        asks=_has("please", "tell me", "give me", "i need", "i'?ll need", "let me have", "go ahead", "enter", "say"),
        yes_or_no=re.compile(
            r"^(?:(?:and|so|ok|okay|then|great|thanks|now|alright),? )*(?:is|are|was|were|did|does|shall|should|will|"
            r"would you like|do you want|would it|am i|has|have)\b"
        ),
    )


def _german() -> Vocabulary:
    units = "null eins ein eine zwei zwo drei vier fünf sechs sieben acht neun"
    tens = "zwanzig dreißig dreissig vierzig fünfzig sechzig siebzig achtzig neunzig"
    return Vocabulary(
        dangling=_words(
            "und oder aber weil dass daß denn wenn als ob sondern sowie bzw der die das dem den des ein eine "
            "einen einem "
            "einer eines mein meine meinen meinem meiner dein deine ihr ihre ihren ihrem unser unsere kein keine "
            "keinen "
            "zu zum zur von vom mit für bei beim im am nach aus über um unter zwischen ohne gegen durch seit während "
            "ist sind war bin bist habe hat möchte will kann könnte würde muss soll ich wir äh ähm öhm hm hmm "
            "also sehr "
            "ich's lautet heiße heißt wohne"
        ),
        stems=_ends(
            r"(?:können|könnten|würden|haben|wissen) sie(?: mir| bitte)*",
            r"(?:sagen|geben|schicken|zeigen) sie mir",
            r"ich (?:möchte|hätte|brauche|suche|wollte|will|habe|würde)(?: gerne?| mal| nur)*",
            "ich hätte gerne?",
            r"(?:einen )?moment(?: bitte| mal)?",
            r"(?:was|wo|wann|wie|warum) (?:ist|sind|kann|war|viel|viele|lange)",
            "gibt es",
            "mal sehen",
            "warten sie",
        ),
        elliptic=re.compile(
            r"^(?:ja|nein|doch)? ?(?:das|es|ich|sie|wir) (?:ist|sind|war|bin|kann|will|möchte|habe)(?: es| das| "
            r"ich)?$"
            r"|^(?:ja|nein),? (?:bin|will|kann|möchte|habe) ich$|^was ist das$|^wer sind sie$"
        ),
        closed=_phrases(
            "ja, nein, nee, jo, jawohl, doch, genau, richtig, stimmt, das stimmt, ja genau, gut, okay, ok, alles "
            "klar, "
            "in ordnung, klar, natürlich, sicher, gerne, ja gerne, ja bitte, nein danke, bitte, danke, vielen dank, "
            "danke schön, dankeschön, tschüss, auf wiederhören, auf wiedersehen, hallo, guten tag, guten morgen, "
            "das ist alles, das war's, das wars, das war alles, nichts, sonst nichts, weiß ich nicht, ich weiß "
            "nicht, "
            "keine ahnung, noch nicht, passt, perfekt, super, falsch, das ist falsch, abbrechen, schönen tag noch"
        ),
        assent=_phrases("ja, jo, jawohl, okay, ok, gut, klar, natürlich, sicher, gerne, ja gerne, genau"),
        last=_ends(
            "bitte", "danke", "vielen dank", "danke schön", "das ist alles", "das war's", "das wars", "oder nicht"
        ),
        refusal=_begins(
            "nein",
            "nee",
            "ich weiß (?:es |sie )?nicht",
            "ich hab(?:e)? kein",
            "warum",
            "wieso",
            "was",
            "wie",
            "können sie",
            "könnten sie",
            "entschuldigung",
            "moment",
            "stopp",
            "weiß ich nicht",
        ),
        units=_words(units),
        teens=_words("zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn"),
        tens=_words(tens),
        compound=re.compile(rf"(?:{'|'.join(units.split())})und(?:{'|'.join(tens.split())})"),
        scales={"hundert": 2, "tausend": 3},
        repeats={"doppel": 2, "doppelt": 2},
        separators=_words(
            "punkt minus bindestrich unterstrich schrägstrich at ät klammeraffe leerzeichen komma plus dann"
        ),
        spelled=_ALPHABET
        | _words(
            "anton ärger berta cäsar charlotte dora emil friedrich gustav heinrich ida julius kaufmann konrad "
            "ludwig martha "
            "nordpol otto ökonom paula quelle richard samuel siegfried schule theodor ulrich übermut viktor "
            "wilhelm xanthippe "
            "ypsilon zacharias zeppelin"
        ),
        announces=_has(r"(?:\w*nummer|pin|code|konto|karte|telefon|handy|postleitzahl|iban)(?: ist| lautet| wäre)?"),
        units_of_measure=_ends(
            r"(?:euro|cent|prozent|personen|leute|uhr|stunden?|minuten?|tage?n?|wochen?|monate?n?|jahre?n?|mal|"
            r"karten|nächte|"
            r"heute|morgen|abends?|morgens|nachmittags)"
        ),
        months=_words("januar februar märz april mai juni juli august september oktober november dezember"),
        spelling=_has(
            "buchstabier(?:en|e)", "e-?mail(?:-?adresse)?", "kennzeichen", "passwort", "buchungscode", r"\w+code"
        ),
        number=_has(
            r"\w*nummer", "ziffern?", "pin", "iban", "postleitzahl", "geburtsdatum", r"wann (?:sind|bist) .*geboren"
        ),
        address=_has("adresse", "anschrift", "straße", "hausnummer", "wo wohnen sie", r"wohin (?:sollen|dürfen) wir"),
        again=_has("noch ?mal", "noch einmal", "wiederholen", "weiter", "den rest"),
        asks=_has("bitte", "sagen sie mir", "nennen sie", "geben sie", "ich brauche", "ich bräuchte"),
        yes_or_no=re.compile(
            r"^(?:(?:und|ok|okay|gut|dann|also),? )*(?:ist|sind|war|soll|sollen|möchten|wollen|darf|haben)\b"
        ),
    )


def _french() -> Vocabulary:
    return Vocabulary(
        dangling=_words(
            "et ou mais car donc parce que qu' si quand comme puisque lorsque le la les un une des du de d' l' "
            "mon ma mes ton "
            "ta tes son sa ses notre nos votre vos leur leurs ce cette ces à au aux en dans pour avec sans sur "
            "sous par chez "
            "vers entre est suis sont était c'est j'ai je tu il nous vous on veux voudrais peux très euh heu ben "
            "bah alors hum "
            "n'est s'appelle m'appelle"
        ),
        stems=_ends(
            r"(?:pouvez|pourriez|pourrais|peux|savez|avez)[- ](?:vous|tu)(?: me)?(?: dire| donner)?",
            "dites moi",
            "est-ce que",
            "je (?:voudrais|veux|cherche|souhaite|souhaiterais|pense)",
            "j'aimerais",
            "un (?:instant|moment)",
            "attendez",
            "(?:quel|quelle|quels|quelles)(?: est| sont)?",
            "il y a",
        ),
        elliptic=re.compile(r"^(?:oui|non)? ?(?:je|il|elle|on) (?:suis|est|peux|veux)$"),
        closed=_phrases(
            "oui, non, ouais, si, d'accord, ok, okay, bien sûr, exactement, exact, c'est ça, c'est bon, c'est "
            "tout, tout à fait, "
            "parfait, très bien, bien, merci, merci beaucoup, s'il vous plaît, s'il te plaît, oui merci, non "
            "merci, bonjour, "
            "bonsoir, au revoir, rien, rien d'autre, je ne sais pas, je sais pas, pas encore, pas vraiment, "
            "bonne journée, "
            "c'est faux, voilà, volontiers, annulez"
        ),
        assent=_phrases("oui, ouais, d'accord, ok, okay, bien sûr, très bien, bien, volontiers"),
        last=_ends("s'il vous plaît", "s'il te plaît", "merci", "merci beaucoup", "c'est tout", "voilà", "ou pas"),
        refusal=_begins(
            "non", "je ne", "je n'", "je sais pas", "pourquoi", "comment", "quoi", "pouvez", "pardon", "attendez"
        ),
        units=_words("zéro un une deux trois quatre cinq six sept huit neuf"),
        teens=_words("dix onze douze treize quatorze quinze seize dix-sept dix-huit dix-neuf"),
        tens=_words("vingt vingts trente quarante cinquante soixante quatre-vingt quatre-vingts"),
        compound=re.compile(r"(?:vingt|trente|quarante|cinquante|soixante|quatre-vingt)(?:-et)?-[\w-]+"),
        scales={"cent": 2, "cents": 2, "mille": 3},
        repeats={"double": 2, "triple": 3},
        joins_teens=_words("soixante quatre-vingt quatre-vingts"),
        merges={"quatre vingt": "quatre-vingt"},
        joiners=_words("et"),
        separators=_words("point tiret arobase underscore slash virgule plus espace puis"),
        spelled=_ALPHABET,
        announces=_has(r"(?:numéro|code|compte|carte|téléphone|portable|postal)(?: est| c'est)?"),
        whole_number=frozenset({10}),
        units_of_measure=_ends(
            r"(?:euros?|centimes?|pour ?cent|personnes?|heures?|minutes?|jours?|semaines?|mois|ans|années|fois|"
            r"demain|matin|soir)"
        ),
        months=_words("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
        spelling=_has(
            "épel(?:er|ez|le)",
            "e-?mail",
            "courriel",
            "adresse (?:e-?mail|électronique)",
            "mot de passe",
            "immatriculation",
        ),
        number=_has("numéros?", "chiffres?", "code(?: postal)?", "iban", "date de naissance", "téléphone"),
        address=_has("adresse", "rue", "où habitez", "où (?:devons|pouvons|doit)"),
        again=_has("répét(?:er|ez)", "encore une fois", "la suite", "continuez"),
        asks=_has("s'il vous plaît", "dites", "donnez", "j'ai besoin", "il me faut"),
        yes_or_no=re.compile(r"^(?:et |alors )?(?:est-ce (?:bien )?(?:que|votre|le|la)|voulez|souhaitez|c'est bien)\b"),
    )


def _spanish() -> Vocabulary:
    return Vocabulary(
        dangling=_words(
            "y e o u pero porque que si cuando como aunque mientras el la los las un una unos unas mi mis tu tus "
            "su sus nuestro "
            "nuestra de del a al en con sin por para sobre entre desde hasta es son está están soy estoy era "
            "quiero quisiera "
            "necesito puedo tengo yo muy eh em este pues bueno o-sea"
        ),
        stems=_ends(
            r"(?:puede|puedes|podría|podrías|me puede|me podría)(?: usted)?(?: decirme| decir| dar)?",
            "(?:dígame|dime)",
            "me gustaría",
            "un (?:momento|segundo|momentito)",
            "(?:cuál|cuáles|dónde|qué|cómo)(?: es| son| está)",
            "a ver",
            "espere",
            "lo que pasa es",
            "hay",
        ),
        elliptic=re.compile(
            r"^(?:sí|no)? ?(?:así|ya|ahí) (?:es|está|estoy)$|^(?:sí|no),? (?:puedo|quiero|tengo|soy|es)$|^no lo es$"
        ),
        closed=_phrases(
            "sí, si, no, claro, claro que sí, vale, ok, okay, bien, muy bien, está bien, de acuerdo, correcto, "
            "exacto, exactamente, "
            "eso es, perfecto, gracias, muchas gracias, por favor, sí por favor, no gracias, hola, buenos días, "
            "buenas tardes, "
            "adiós, hasta luego, nada, nada más, eso es todo, es todo, no sé, no lo sé, todavía no, por "
            "supuesto, cancelar, ya está"
        ),
        assent=_phrases("sí, si, claro, vale, ok, okay, bien, muy bien, de acuerdo, por supuesto, claro que sí"),
        last=_ends("por favor", "gracias", "muchas gracias", "nada más", "eso es todo", "es todo", "o no"),
        refusal=_begins("no", "por qué", "qué", "cómo", "cuál", "puede", "podría", "perdón", "espere", "disculpe"),
        units=_words("cero un uno una dos tres cuatro cinco seis siete ocho nueve"),
        teens=_words(
            "diez once doce trece catorce quince dieciséis dieciseis diecisiete dieciocho diecinueve veintiuno "
            "veintiún veintidós "
            "veintidos veintitrés veintitres veinticuatro veinticinco veintiséis veintiseis veintisiete "
            "veintiocho veintinueve"
        ),
        tens=_words("veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa"),
        scales={"cien": 2, "ciento": 2, "cientos": 2, "mil": 3},
        repeats={"doble": 2, "triple": 3},
        joiners=_words("y"),
        separators=_words("punto guion guión arroba barra coma más espacio luego"),
        spelled=_ALPHABET | _words("hache jota eñe equis zeta erre uve ka efe ele eme ene ese"),
        announces=_has(r"(?:número|código|cuenta|tarjeta|teléfono|móvil|celular|pedido|postal)(?: es)?"),
        whole_number=frozenset({9, 10}),
        units_of_measure=_ends(
            r"(?:euros?|dólares|pesos|por ciento|personas?|horas?|minutos?|días?|semanas?|mes(?:es)?|años?|veces|"
            r"mañana|tarde|noche|hoy)"
        ),
        months=_words("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
        spelling=_has("deletre(?:ar|e|a|arlo|armelo)", "correo(?: electrónico)?", "e-?mail", "contraseña", "matrícula"),
        number=_has("números?", "dígitos?", "código(?: postal)?", "iban", "fecha de nacimiento", "teléfono", "pin"),
        address=_has("dirección", "calle", "domicilio", "dónde vive", "dónde (?:debemos|podemos)"),
        again=_has("repet(?:ir|irlo|irme)", "repita", "otra vez", "de nuevo", "continúe", "el resto"),
        asks=_has("por favor", "dígame", "dime", "deme", "necesito", "indíqueme"),
        yes_or_no=re.compile(r"^¿?(?:y )?(?:es|son|está|quiere|desea|quieres|era)\b"),
    )


def _italian() -> Vocabulary:
    return Vocabulary(
        dangling=_words(
            "e ed o ma perché che se quando come anche oppure mentre il lo la i gli le un uno una l' un' mio mia "
            "miei mie tuo tua "
            "suo sua nostro nostra di del della dei delle a al alla ai in nel nella con per su sul sulla da dal "
            "dalla tra fra senza "
            "è sono sei era ho vorrei voglio posso devo io molto ehm eh mmm allora cioè"
        ),
        stems=_ends(
            r"(?:può|puoi|potrebbe|potresti|mi può|mi potrebbe)(?: dirmi| dire| dare)?",
            "mi dica",
            "mi piacerebbe",
            "un (?:attimo|momento)",
            "(?:qual|quale|quali|dove|cosa|come)(?: è| sono)",
            "c'è",
            "ci sono",
            "vediamo",
            "aspetti",
        ),
        elliptic=re.compile(
            r"^(?:sì|no)? ?(?:lo|così|ci) (?:è|sono|so)$|^(?:sì|no),? (?:posso|voglio|sono|è)$|^chi è$"
        ),
        closed=_phrases(
            "sì, si, no, certo, certamente, va bene, ok, okay, d'accordo, esatto, giusto, corretto, perfetto, "
            "bene, benissimo, grazie, "
            "grazie mille, per favore, per piacere, sì grazie, no grazie, ciao, buongiorno, buonasera, "
            "arrivederci, niente, "
            "nient'altro, basta così, è tutto, non lo so, non so, non ancora, naturalmente, annulla, prego"
        ),
        assent=_phrases("sì, si, certo, va bene, ok, okay, d'accordo, bene, certamente"),
        last=_ends(
            "per favore", "per piacere", "grazie", "grazie mille", "basta così", "è tutto", "nient'altro", "o no"
        ),
        refusal=_begins("no", "non", "perché", "cosa", "come", "quale", "può", "potrebbe", "scusi", "aspetti"),
        units=_words("zero un uno due tre quattro cinque sei sette otto nove"),
        teens=_words("dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove"),
        tens=_words("venti trenta quaranta cinquanta sessanta settanta ottanta novanta"),
        compound=re.compile(
            r"(?:vent|trent|quarant|cinquant|sessant|settant|ottant|novant)[ia]?(?:uno?|due|tr[eé]|quattro|cinque|"
            r"sei|sette|otto|nove)"
        ),
        scales={"cento": 2, "mila": 3, "mille": 3},
        repeats={"doppio": 2, "doppia": 2, "triplo": 3},
        separators=_words("punto trattino chiocciola barra virgola più spazio poi underscore"),
        spelled=_ALPHABET
        | _words(
            "ancona bologna como domodossola empoli firenze genova imola jesolo livorno milano napoli otranto "
            "padova roma savona torino "
            "udine venezia zara acca"
        ),
        announces=_has(r"(?:numero|codice|conto|carta|telefono|cellulare|cap)(?: è)?"),
        whole_number=frozenset({10}),
        units_of_measure=_ends(
            r"(?:euro|centesimi|per cento|persone|ore|minut[oi]|giorn[oi]|settiman[ae]|mes[ei]|ann[oi]|volte|"
            r"domani|oggi)"
        ),
        months=_words("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"),
        spelling=_has(
            "sillab(?:are|i)",
            "lettera per lettera",
            "compit(?:are|i)",
            "e-?mail",
            "posta elettronica",
            "password",
            "targa",
            "codice fiscale",
        ),
        number=_has("numer[oi]", "cifr[ae]", "codice", "iban", "data di nascita", "telefono", "cap"),
        address=_has("indirizzo", "via", "dove abita", "dove (?:dobbiamo|possiamo)"),
        again=_has("ripetere", "ripeta", "ancora una volta", "di nuovo", "continui", "il resto"),
        asks=_has("per favore", "per piacere", "mi dica", "mi dia", "ho bisogno"),
        yes_or_no=re.compile(r"^(?:e )?(?:è|sono|vuole|desidera|vuoi)\b"),
    )


def _portuguese() -> Vocabulary:
    return Vocabulary(
        dangling=_words(
            "e ou mas porque que se quando como embora enquanto o a os as um uma uns umas meu minha meus minhas "
            "teu tua seu sua nosso "
            "nossa de do da dos das em no na nos nas com sem por para pelo pela sobre entre até é são está estão "
            "sou estou era quero "
            "queria gostaria preciso posso tenho eu muito hã hum ahn é-que então tipo"
        ),
        stems=_ends(
            r"(?:pode|podia|poderia|você pode|me pode)(?: me)?(?: dizer| falar| dar)?",
            "diga me",
            "gostaria de",
            "um (?:momento|instante|minuto)",
            "(?:qual|quais|onde|como)(?: é| são| fica)",
            "o que é",
            "deixa eu ver",
            "espere",
            "há",
        ),
        elliptic=re.compile(
            r"^(?:sim|não)? ?(?:isso|assim|aqui) (?:é|está)$|^(?:sim|não),? (?:posso|quero|tenho|sou|é)$|^é$"
        ),
        closed=_phrases(
            "sim, não, claro, com certeza, está bem, tá bom, tá, ok, okay, certo, exato, exatamente, isso, isso "
            "mesmo, correto, perfeito, "
            "bem, muito bem, obrigado, obrigada, muito obrigado, muito obrigada, por favor, sim por favor, não "
            "obrigado, não obrigada, olá, "
            "oi, bom dia, boa tarde, boa noite, tchau, adeus, nada, mais nada, é só isso, só isso, não sei, "
            "ainda não, cancelar"
        ),
        assent=_phrases("sim, claro, está bem, tá bom, tá, ok, okay, certo, com certeza"),
        last=_ends("por favor", "obrigado", "obrigada", "mais nada", "é só isso", "só isso", "ou não"),
        refusal=_begins("não", "por que", "porquê", "o que", "como", "qual", "pode", "poderia", "desculpe", "espere"),
        units=_words("zero um uma dois duas três quatro cinco seis meia sete oito nove"),
        teens=_words(
            "dez onze doze treze catorze quatorze quinze dezesseis dezasseis dezessete dezassete dezoito "
            "dezenove dezanove"
        ),
        tens=_words("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa"),
        scales={"cem": 2, "cento": 2, "mil": 3},
        repeats={"duplo": 2, "triplo": 3},
        joiners=_words("e"),
        separators=_words("ponto hífen traço arroba barra vírgula mais espaço depois underline"),
        spelled=_ALPHABET | _words("agá jota xis zê erre"),
        announces=_has(r"(?:número|código|conta|cartão|telefone|celular|telemóvel|pedido|cep|cpf)(?: é)?"),
        whole_number=frozenset({9, 10, 11}),
        units_of_measure=_ends(
            r"(?:euros?|reais|por cento|pessoas?|horas?|minutos?|dias?|semanas?|m[eê]s(?:es)?|anos?|vezes|amanhã|"
            r"hoje)"
        ),
        months=_words("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"),
        spelling=_has(
            "soletr(?:ar|e|a)", "letra por letra", "e-?mail", "correio eletrônico", "senha", "placa", "matrícula"
        ),
        number=_has("números?", "dígitos?", "código", "cep", "cpf", "nif", "iban", "data de nascimento", "telefone"),
        address=_has("endereço", "morada", "rua", "onde (?:mora|vive)", "onde (?:devemos|podemos)"),
        again=_has("repetir", "repita", "de novo", "outra vez", "continue", "o resto"),
        asks=_has("por favor", "diga", "me dê", "preciso", "informe"),
        yes_or_no=re.compile(r"^(?:e )?(?:é|são|está|quer|deseja)\b"),
    )


def _dutch() -> Vocabulary:
    units = "nul een één twee drie vier vijf zes zeven acht negen"
    tens = "twintig dertig veertig vijftig zestig zeventig tachtig negentig"
    return Vocabulary(
        dangling=_words(
            "en of maar want omdat dat als toen dus terwijl de het een mijn m'n jouw uw zijn haar ons onze hun "
            "deze van met voor bij "
            "naar om te aan op uit over onder tussen zonder tegen door is ben bent was heb heeft wil kan zou "
            "moet mag ik wij we eh ehm uh "
            "uhm hm nou heel erg heet woon"
        ),
        stems=_ends(
            r"(?:kunt|kan|zou|zou|heeft|weet) (?:u|je)(?: mij| me)?(?: vertellen| zeggen| geven)?",
            r"ik (?:wil|zou|wou|heb|zoek)(?: graag)?",
            "(?:een |één )?moment(?:je)?",
            "(?:wat|waar|wanneer|hoe|waarom) (?:is|zijn|kan|veel|lang)",
            "is er",
            "even kijken",
            "wacht even",
        ),
        elliptic=re.compile(
            r"^(?:ja|nee)? ?(?:dat|het|ik) (?:is|ben|was|kan|wil)(?: het| ik)?$|^(?:ja|nee),? dat (?:is|kan|"
            r"mag)(?: het)?$"
        ),
        closed=_phrases(
            "ja, nee, jawel, ja hoor, nee hoor, zeker, oké, oke, ok, okay, goed, prima, klopt, dat klopt, "
            "precies, juist, natuurlijk, graag, "
            "ja graag, ja alstublieft, nee bedankt, nee dank u, dank u, dank u wel, dank je, dank je wel, "
            "bedankt, alstublieft, alsjeblieft, "
            "hallo, goedemorgen, goedemiddag, goedendag, tot ziens, dag, doei, niets, niks, dat is alles, dat "
            "was het, weet ik niet, "
            "ik weet het niet, geen idee, nog niet, perfect, annuleren"
        ),
        assent=_phrases("ja, jawel, ja hoor, zeker, oké, oke, ok, okay, goed, prima, natuurlijk, graag, ja graag"),
        last=_ends(
            "alstublieft",
            "alsjeblieft",
            "graag",
            "bedankt",
            "dank u",
            "dank u wel",
            "dat is alles",
            "dat was het",
            "of niet",
        ),
        refusal=_begins(
            "nee",
            "ik weet (?:het )?niet",
            "weet ik niet",
            "ik heb geen",
            "waarom",
            "wat",
            "hoe",
            "kunt u",
            "kan je",
            "sorry",
            "wacht",
        ),
        units=_words(units),
        teens=_words("tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien"),
        tens=_words(tens),
        compound=re.compile(rf"(?:{'|'.join(units.split())})(?:en|ën)(?:{'|'.join(tens.split())})"),
        scales={"honderd": 2, "duizend": 3},
        repeats={"dubbel": 2, "dubbele": 2},
        separators=_words("punt streepje liggend apenstaartje at schuine komma plus spatie dan"),
        spelled=_ALPHABET,
        announces=_has(r"(?:\w*nummer|pincode|code|rekening|kaart|telefoon|postcode|iban)(?: is)?"),
        whole_number=frozenset({10}),
        units_of_measure=_ends(
            r"(?:euro|cent|procent|personen|mensen|uur|minuten|dagen|weken|maanden|jaar|keer|morgen|vandaag)"
        ),
        months=_words("januari februari maart april mei juni juli augustus september oktober november december"),
        spelling=_has("spel(?:len|t|d)?", "e-?mail(?:adres)?", "kenteken", "wachtwoord", r"\w+code"),
        number=_has(r"\w*nummer", "cijfers?", "pincode", "iban", "geboortedatum"),
        address=_has("adres", "straat", "huisnummer", "waar woont", "waar (?:mogen|kunnen|moeten) we"),
        again=_has("herhalen", "nog een keer", "nogmaals", "ga verder", "de rest"),
        asks=_has("alstublieft", "alsjeblieft", "geef", "zeg", "ik heb .* nodig"),
        yes_or_no=re.compile(r"^(?:en |dus )?(?:is|zijn|wilt|wil|zal|mag|moet)\b"),
    )


def _polish() -> Vocabulary:
    return Vocabulary(
        dangling=_words(
            "i a oraz lub albo ale bo ponieważ że żeby jeśli jeżeli gdy kiedy który która które czyli więc mój "
            "moja moje mojego mojej twój pana "
            "pani nasz w we z ze na do od dla po o u przez przy pod nad przed bez między jest są był była mam "
            "chcę chciałbym chciałabym mogę muszę "
            "proszę-o ja bardzo eee yyy hmm no nazywam to"
        ),
        stems=_ends(
            r"(?:czy )?(?:może|mogłaby|mógłby|mogłabym|mógłbym)(?: pan| pani)?(?: mi)?(?: powiedzieć| podać)?",
            "chodzi o",
            "nazywam się",
            "(?:chwileczkę|moment|momencik)",
            "(?:jaki|jaka|jakie|gdzie|kiedy|ile|co)(?: jest| są| to)?",
            "zaraz",
        ),
        elliptic=re.compile(r"^(?:tak|nie),? (?:mam|chcę|mogę|jest|muszę)$|^co to(?: jest)?$|^nie ma za co$"),
        closed=_phrases(
            "tak, nie, no tak, dobrze, dobra, ok, okej, okay, jasne, oczywiście, zgadza się, dokładnie, właśnie, "
            "świetnie, super, dziękuję, "
            "dziękuję bardzo, dzięki, proszę, tak proszę, nie dziękuję, dzień dobry, dobry wieczór, do widzenia, "
            "cześć, halo, nic, nic więcej, "
            "to wszystko, nie wiem, jeszcze nie, w porządku, anuluj, pewnie"
        ),
        assent=_phrases("tak, no tak, dobrze, dobra, ok, okej, okay, jasne, oczywiście, pewnie"),
        last=_ends("proszę", "dziękuję", "dziękuję bardzo", "to wszystko", "nic więcej", "czy nie"),
        refusal=_begins("nie", "dlaczego", "co", "jak", "jaki", "czy", "przepraszam", "chwileczkę"),
        units=_words("zero jeden jedna dwa dwie trzy cztery pięć sześć siedem osiem dziewięć"),
        teens=_words(
            "dziesięć jedenaście dwanaście trzynaście czternaście piętnaście szesnaście siedemnaście osiemnaście "
            "dziewiętnaście"
        ),
        tens=_words(
            "dwadzieścia trzydzieści czterdzieści pięćdziesiąt sześćdziesiąt siedemdziesiąt osiemdziesiąt "
            "dziewięćdziesiąt"
        ),
        scales={
            "sto": 3,
            "dwieście": 3,
            "trzysta": 3,
            "czterysta": 3,
            "pięćset": 3,
            "sześćset": 3,
            "siedemset": 3,
            "osiemset": 3,
            "dziewięćset": 3,
            "tysiąc": 3,
            "tysiące": 3,
            "tysięcy": 3,
        },
        repeats={"podwójne": 2},
        separators=_words("kropka myślnik małpa podkreślenie ukośnik przecinek plus spacja potem"),
        spelled=_ALPHABET | _words("igrek iks zet ha jot ka"),
        announces=_has(r"(?:numer|kod|konto|karta|telefon|pesel|pin|pocztowy)(?: to| jest)?"),
        whole_number=frozenset({9}),
        units_of_measure=_ends(
            r"(?:złotych|złote|euro|groszy|procent|osób|osoby|godzin[ay]?|minut[ay]?|dni|tygodni[e]?|"
            r"miesi[ęą]c[ey]?|lat|razy|jutro|dzisiaj)"
        ),
        months=_words(
            "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia"
        ),
        spelling=_has("przeliter(?:ować|uj|uje)", "literować", "e-?mail", "adres e-?mail", "hasło", "rejestracyjny"),
        number=_has(
            "numeru?",
            "cyfr[ya]?",
            "kod(?: pocztowy)?",
            "pesel",
            "pin",
            "iban",
            "data urodzenia",
            "datę urodzenia",
            "telefonu?",
        ),
        address=_has("adres", "ulica", "gdzie (?:pan|pani) mieszka", "gdzie mieszka"),
        again=_has("powtórzyć", "powtórz", "jeszcze raz", "dalej", "resztę"),
        asks=_has("proszę", "podaj", "podać", "potrzebuję"),
        yes_or_no=re.compile(r"^(?:a )?czy (?!może|mogę|mógł|mogł|zna|ma)"),
    )


_MAKERS = {
    "en": _english,
    "de": _german,
    "fr": _french,
    "es": _spanish,
    "it": _italian,
    "pt": _portuguese,
    "nl": _dutch,
    "pl": _polish,
}

LANGUAGES = frozenset(_MAKERS)
"Languages with words of their own here."


@cache
def vocabulary(language: str) -> Vocabulary:
    """The words of a language code ("en", "pt-BR"); of one unknown here, none."""
    maker = _MAKERS.get(language.replace("_", "-").partition("-")[0].lower())
    return Vocabulary() if maker is None else maker()
