"""Split sentences into the same tokens as pycocoevalcap's metrics, but without Java.

pycocoevalcap runs the Java program PTBTokenizer of CoreNLP 3.4.1 on all
captions, converts the tokens to lower case, and removes those in `PUNCTUATION`.
This module uses NLTK's Treebank tokenizer. Where the Java program gives other
tokens than NLTK, the rules in this module are used. They were derived from the
output of the Java program: tests/data/test_penn_treebank.py compares all
captions of Flickr8k and COCO.
"""

import functools
import re

# Tokens that pycocoevalcap removes. Its list also has the brackets -LRB- … in upper case.
# But the tokens are in lower case, so brackets are not removed. Repeated marks such as "!!" are not removed either.
PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])

BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}

_SYMBOLS = BRACKETS | {
    "£": "#", "€": "$", "¤": "$", "₠": "$", "¢": "cents",
    "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
}  # fmt: skip

_ENTITIES = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&apos;": "'",
    "&nbsp;": " ",
    "\ue000": " ",
    "\u00ad": "",
}

# Abbreviations that keep their full stop everywhere.
_ABBREVIATIONS = (
    "adj adm adv al ala alex apr ariz assn assoc asst atty attys aug ave bancorp bhd bldg blvd brig bros calif "
    "capt cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb "
    "fla fri ft ga gen gov govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md "
    "messrs mich minn mlle mme mo mon mont mr mrs ms msgr mt natl neb nev nov oct okla penn pfc ph plc ppty pptys "
    "pres prof profs pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu "
    "thurs treas tue tues univ va vs vt wed wis wisc wm wyo mfg mtg pte pty ppte ppty ptes ptys "
)

# Abbreviations in this spelling only. In lower case they are ordinary words: "the pa. said".
_CAPITAL_ABBREVIATIONS = "Az La Pa Ark Del Ill Ore Tex Mass Miss Wash"

# Words that are abbreviations only if a number follows.
_NUMBER_ABBREVIATIONS = "ca no op pp art fig nos figs prop"

# A single letter with a full stop is an initial, as in "J. Smith". Before these words, and
# at the end of the text, the full stop ends a sentence instead.
_STARTERS = (
    "A About After An As At But He Her Here However If In It Last Many More Now Once One Other Our She Since So Some "
    "Such That The Their Then There These They This We What When While Yet You"
)


def _one_of(words):
    """Return a regular expression, a str, that matches any one of the words in `words`, a str with spaces."""
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


# Vowel signs and accents that are separate characters. They belong to the letter before them.
_MARKS = "\u0300-\u036f\u0591-\u05bd\u064b-\u065e\u0900-\u0963\u0970-\u0df3\u0e31-\u0e4e"
_NO_LETTER = r"\W_²³¹¼-¾\u2070-\u209f\u2150-\u218f\u2460-\u24ff"
_LETTER = rf"(?:[^\d{_NO_LETTER}]|[{_MARKS}])"
_CHARACTER = rf"(?:[^{_NO_LETTER}]|[{_MARKS}])"
_END = rf"(?!{_CHARACTER})"
# A place where a token may begin.
_FRONT = rf"(?<![^{_NO_LETTER}])(?<![{_MARKS}])"
_WORD = rf"{_CHARACTER}+(?:_+{_CHARACTER}+)*"
_APOSTROPHE = "['’\u0092]"
_ACRONYM = r"[A-Za-z](?:\.[A-Za-z])+"
_URL = r"[^\s<>\"`{}|\\^\[\]]*[^\s<>\"`{}|\\^\[\].,;:!?'()]"

# Tokens that contain a space or depend on the next word, as regular expressions.
_ACROSS = (
    r"(?<!\d)\d{1,4}[- \u00a0]\d{1,4}/\d{1,4}(?![\w/])",  # mixed fractions
    rf"(?<![\w.'’@#&/-])[A-Za-z]\.(?!{_LETTER})(?!\s*$|\s+(?:{_one_of(_STARTERS)})(?:\s|$))",
    rf"{_FRONT}(?i:{_one_of(_NUMBER_ABBREVIATIONS)})\.(?=\s*\d)",
)

# Tokens that NLTK would split in another way, as regular expressions. The first that matches is used. NLTK splits the
# text between such tokens.
_RULES = (
    r"</?[A-Za-z][\w:.-]*/?>",
    rf"(?i:https?://|www\.){_URL}",
    rf"{_FRONT}[A-Za-z0-9][\w.-]*@\w[\w-]*(?:\.\w[\w-]*)*",
    rf"{_FRONT}[@#][A-Za-z]\w*",
    # Short forms: n't, 's, 're.
    rf"[nN]['’`\u0092][tT]{_END}",
    rf"{_APOSTROPHE}(?i:[msd]|re|ve|ll){_END}",
    # Words that contain an apostrophe: 'em, o'clock.
    rf"(?i:'n'|'n{_END}|'em{_END}|'till?{_END}|{_APOSTROPHE}[2-9]0s{_END}|'\d\d(?![\w']))",
    rf"{_FRONT}(?i:[dol]{_APOSTROPHE}{_LETTER}+|ol'{_END}|[ldjy]'|c'mon{_END}|ma{_APOSTROPHE}am{_END})",
    rf"{_FRONT}{_LETTER}{_CHARACTER}*[aeiouy]{_APOSTROPHE}[aeiou]{_LETTER}*",
    # Words with hyphens, slashes, ampersands and dots.
    rf"{_FRONT}[A-Za-z0-9][A-Za-z0-9.,]*(?:-(?:{_ACRONYM}\.|[A-Za-z0-9]+))+",
    rf"{_FRONT}[A-Za-z0-9]+(?:-[A-Za-z]+){{0,2}}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){{0,2}}){{1,2}}",
    rf"{_FRONT}[A-Z]+(?:[+&][A-Z]+)+",
    rf"{_FRONT}{_ACRONYM}\.{_END}",
    rf"{_FRONT}{_LETTER}+(?:[.!?]{_LETTER}+)+",
    rf"{_FRONT}(?i:{_one_of(_ABBREVIATIONS)})\.",
    rf"{_FRONT}(?:{_one_of(_CAPITAL_ABBREVIATIONS)})\.",
    rf"{_FRONT}{_WORD}\.(?=[,;:])",
    rf"{_FRONT}(?:(?:US|HK|[A-Z])\$|[Cc]\+\+|[CcFf]#(?!\w))",
    # Numbers
    rf"(?:{_FRONT}[+-]?\d+)?(?:[.,:]\d+)+",
    rf"{_FRONT}[+-](?:\d+|(?:[.,:]\d+)+)",
    # Smileys
    r"[<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z])",
    r"[\^x=~<>]\.[\^x=~<>]|[\-^x=~<>']_[\-^x=~<>']|\([\-^x=~<>'][_.]?[\-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)",
    r"[!?]{2,}",
    r"\*+|##+|_{2,}",
    r"[#$%&+/<=>@\\^|~]",
    # Symbols and pictures of Unicode's basic plane.
    "[\u00a1-\u00bf\u00d7\u00f7\u2016\u2017\u2020-\u2023\u2030-\u2038\u203b\u203e-\u2042\u2044"
    "\u20a0\u20a4\u20ac\u2100-\u214f\u2153-\u215e\u2190-\u2bff\u3001\u3002\uff01-\uff0f\uff1a-\uff20]",
)
# Characters that the Java program removes: other punctuation, and emoji outside the basic plane.
_DROPPED = rf"(?P<dropped>'(?!(?i:tis|twas){_END})|[^\w\s{_MARKS}'()\[\]{{}}\"`;?!-])"
_across = re.compile("|".join(_ACROSS))
_own = re.compile("|".join([*_RULES, _DROPPED]))

# The placeholder for a token of `_ACROSS`: a character of Unicode's private area.
_HELD = "\ue000"


@functools.cache
def _treebank():
    from nltk.tokenize.treebank import TreebankWordTokenizer  # the import takes a second, and captioning needs none

    return TreebankWordTokenizer()


def tokenize(text):
    """Split a sentence into lower-case tokens of the Penn Treebank. Those in `PUNCTUATION` are left out.

    Args:
        text: the sentence.

    Returns:
        A list of str.

    Example:
        >>> tokenize("The dog's ball (red).")
        ['the', 'dog', "'s", 'ball', '-lrb-', 'red', '-rrb-']
    """
    for written, meant in _ENTITIES.items():
        text = text.replace(written, meant)
    held = iter(_across.findall(text))
    tokens = []
    for part in _across.sub(f" {_HELD} ", text).split():
        tokens += [_normalise(next(held))] if part == _HELD else _split(part)
    return tokens


@functools.lru_cache(100_000)
def _split(part):
    """Split a text that has no spaces. Returns a tuple of lower-case tokens."""
    tokens, end = [], 0
    for match in _own.finditer(part):
        tokens += _plain(part[end : match.start()])
        tokens += [] if match["dropped"] else [match[0]]
        end = match.end()
    return tuple(map(_normalise, tokens + _plain(part[end:])))


def _plain(text):
    """Split a text with NLTK into a list of tokens.

    Tokens in `PUNCTUATION`, and hyphens at the ends of tokens, are left out.
    """
    tokens = [token.strip("-") for token in _treebank().tokenize(text)] if text else []
    return [token for token in tokens if token and token not in PUNCTUATION]


def _normalise(token):
    """Return a token in the spelling of the Java program PTBTokenizer.

    Letters become lower case. A bracket becomes its name: "(" becomes "-lrb-". In tokens such as "n’t", a curved
    apostrophe becomes a straight one.
    """
    if token in _SYMBOLS:
        return _SYMBOLS[token]
    if not token.isalnum():
        for written, meant in BRACKETS.items():
            token = token.replace(written, meant)
        if token[0] in "nN'’\u0092" and not token[1:2].isdigit():
            token = token.replace("’", "'").replace("\u0092", "'")
    return token.lower().replace(" ", "\u00a0")
