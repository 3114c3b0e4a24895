"""Words and phrases of the old dialect, and for each the plain English to write in its place.

Patterns ignore case and see one sentence at a time, on one line, so `^` is its start. Code spans are
masked before. A pattern is here when almost every use of it in the project was dialect: plain English
must pass, so a word with a common plain sense is banned in its phrases only.
"""

import re

from tests.prose.sentences import Sentence

ASKED = (
    "ask asks asked asking say says said saying see sees seen show shows shown know knows known "
    "tell tells decide decides decided learn learns explain explains matter matters choose chooses "
    "check checks describe describes determine determines question"
)
"""Words after which `what` asks an indirect question, as in "says what is missing"."""

NOT_ASKED = "".join(rf"(?<!\b{word} )" for word in ASKED.split())

PLAIN = "you|was not tested|happens|if|to"
"""What follows `what` in phrases that are plain English, as in "what you type"."""

CLAUSE = (
    "is|are|was|were|has|have|had|does|do|did|can|cannot|could|may|must|might|should|will|would|"
    "it|its|they|their|we|one|the|this|that|these|an?|each|every|other|others|there|stands|lies|"
    "comes|came|follows|goes|made|makes|takes|holds"
)

# Clauses in place of nouns. A question may have them.
CLAUSES = {
    rf"^what (?!(?:{PLAIN})\b)\w+|{NOT_ASKED}\bwhat (?-i:(?!(?:{PLAIN})\b)(?:{CLAUSE})\b)": "name the thing: 'the timed call', not 'what is timed'; 'The files of a run', not 'What a run holds'",
    r"^(?-i:Who|Whom|Whose) \w+": "name the process or the user: 'The timing process', not 'Who times'",
    r"^(?-i:Which)\b": "begin with the verb: 'Return the claims that ...'",
    r"^(?-i:One) (?:that|which|who|whose)\b|^(?-i:Those|That) (?:that|which|who|whose|of|with)\b": "repeat the noun: 'A trial whose ...'",
    r"^(?-i:Of) an?\b": "begin with the noun: 'The weights of a ...'",
    r"\bthat which\b": "name the thing",
    r"\bthose (?:that|which|who|whose)\b": "repeat the noun: 'the trials that ...'",
    r"\b(?:whoever|whomever)\b": "say 'a user who', 'any process that'",
    r"\b(?:whatever|whichever)\b": "say 'any', 'every', 'regardless of'",
    r"\ball that (?:is|are|was|it|has|an?|the|they|we|lies|stands)\b": "say 'everything that', or name the thing",
    r"\bit is (?:these|those|this|that) (?:that|which|who)\b": "use subject, verb, object",
}  # fmt: skip

# Participles in place of nouns.
PARTICIPLES = {
    r"\bfound (?:out|there|here)\b|\b(?:the|all|each|as|is|are) found$": "say 'detected', or name the value",
    r"\btold\b(?! apart)": "say 'printed', 'reported', 'given', or name the message",
    r"\blacking\b": "say 'missing'",
    r"\b(?:is|are|was|were|be|been|has|have|had) gone\b|\bgone (?:on|before)\b": "say 'missing', 'deleted', 'has exited'",
    r"\b(?:goe?s?|going|went|gone) on\b": "say 'resume', 'continue' or 'keep running'",
    r"\bthe (?:given|taken|kept|made|shown|wanted)(?=[.,;:]|$)": "name the value",
    r"\b(?:as|than) (?:wanted|asked for|told)\b": "say 'as requested', or give the number",
    r"\basked (?:for|of)\b": "say 'requested' or 'required'; of seeds 'seeds (claim / used)'",
    r"\b(?:is|are|be|was|were) said\b(?! (?:not )?to\b)|^said\b|\bsaid (?:of|once)\b": "say 'is printed', 'is reported'",
    r"\b(?:is|are|was|were|be|been|being|often|not|things) looked at\b": "say 'measured', 'evaluated', 'read'",
}

# Riddles and archaic words.
RIDDLES = {
    r"\blest\b": "say 'so that ... not' or 'otherwise'",
    r"\bin silence\b": "say what is printed, or 'silently'",
    r"\b(?:nobody|somebody|anybody|everybody)\b": "say which user or process, or 'unused', 'no user'",
    r"\bstraw ?m[ae]n\b": "say 'a tuned baseline'",
    r"\bdid not end well\b|\bend(?:ed|s)? well\b": "say 'failed or diverged'",
    r"(?<!there )\b(?:is|are|was|were|be|been) no (?!longer\b|more\b|less\b|such\b|other\b|different\b|better\b|worse\b|need\b|way\b|one\b|larger\b|smaller\b|faster\b|slower\b|fewer\b|evidence\b|proof\b|guarantee\b|reason\b|difference\b|effect\b|matter\b|straw\b)\w+": "say 'is not a ...'",
    r"(?<!there )(?<!\] )\b(?:is|are|was|were) (?-i:none)\b": "say 'is not one', or name the thing",
    r"\bnothing (?:but|of)\b|\bfor nothing\b": "say 'only', or say what happens",
    r"\bonce more\b": "say 'again', 'a second time'; of an arm 'the A/A pair of'",
    r"\banew\b": "say 'again'",
    r"\bas yet\b|\bof old\b|\bof before\b": "say 'so far', 'earlier', 'the previous one'",
    r"\b(?:withal|there(?:of|in|upon|to|with)|where(?:of|in|upon|with)|here(?:in|of|upon)|whence|hence|henceforth|hitherto|thrice)\b": "use a plain preposition and noun",
    r"\bwherever\b": "say 'in any folder', 'at every place where'",
    r"\b(?:would|will|could|might|may|must|can) else\b|\bor else\b": "say 'otherwise'",
    r"\ball else\b|\ball is\b|\bin all[.,;:)]|\bin all$": "say 'everything else', 'in total'",
    r"\bthe likes?\b(?! of)|\bof the like\b": "say 'similar', 'of this kind'",
    r"(?<!not )\bso many\b(?! that)": "name the number: 'at most `most` bytes'",
    r"(?<!set )(?<!put )\baside\b(?! from)": "say 'except for'",
    r"\bof ours\b|\bours\b": "say 'of the project', 'ablab's', or name the value",
    r"\bones? types\b|\bone would type\b|\bis typed\b|\bare typed\b": "say 'the user types'",
    r"\bsays more\b": "say 'see ...'",
    r"\b(?:tells?|speaks?|hears?|heard|spoken) of\b|\bhears?\b|\bheard\b": "say 'reports', 'receives', 'names'",
    r"\bgoes without saying\b|\bnone the less\b": "leave it out, or say the fact",
    r"\bwrong words?\b": "say 'a false finding'",
    r"\bword for (?:this|these|it)\b": "name the field's term",
    r"\bin (?:truth|earnest|vain)\b": "leave it out",
}  # fmt: skip

# Metaphors and private terms, of the glossary.
TERMS = {
    r"\bexercises?(?:'s)?\b": "say 'textbook settings' or 'textbook sizes'",
    r"\brigs?\b": "say 'preconditions of a verdict'",
    r"\bstrangers?(?:'s?)?\b": "say 'untrusted'",
    r"\bdoors?\b": "say 'interface' or 'entry point'",
    r"(?<!leaves no )(?<!leave no )(?<!leave )(?<!leaves )\brooms?\b(?! for)|\bhouses?\b": "say 'package' or 'module'; of memory and disks 'space'",
    r"\bcures?\b": "say 'hint'",
    r"\bmend(?:s|ed|ing)?\b": "say 'repair' or 'correct'; of a message 'hint'",
    r"\bnearby\b|\bnear (?:names?|to)\b|\bnear:|\bcomes? near\b": "say 'similar', 'did you mean X?', 'is close to'",
    r"\balike\b": "say 'identical', 'from the same distribution', 'equally'",
    r"\bbeside\b": "say 'next to' (place), 'also', 'in addition to', 'at the same time as'",
    r"\bworth\b": "say 'diverged value', or 'value for a diverged trial'",
    r"\bcrowd(?:s|ed)? out\b": "say 'replace', 'push out'",
    r"\blook at how\b|\bfor a look\b": "say 'see', 'repeated looks' (statistics)",
    r"\bcopies of (?:an )?arms?\b|\bA/A (?:cop(?:y|ies)|arms?)\b": "say 'A/A pair'",
    r"\b(?:another|its|this|that|the same) form\b|\bform of an? (?:record|headline|claim|figure|run)\b": "say 'schema'",
    r"\b(?:width|widths|it|that|which) (?:is|are|was|were) solved\b|\bsolved? again\b|\bsolves? (?:one|the|an?|their|its) widths?\b": "say 'matched', 'the width is set so that the costs match'",
    r"\b(?:published|printed|measured|reported|last|dated|recorded) figures?\b|\bfigures of (?:CI|each|runs)\b": "say 'value' or 'number'; a figure is a picture",
    r"\b(?:\d+|so many|many|most|few|of) letters\b|\bletters and lines\b|\bhow many letters\b": "say 'characters'",
    r"\bfool(?:s|ed)? it\b|\bhonest users?\b": "say what the check detects",
    r"\b(?:made|makes?|making) ready\b|\bmakes? sure of\b": "say 'prepare'",
    r"\bto the bit\b": "say 'bit for bit', 'bitwise'",
    r"\bagain and again\b": "say 'repeatedly'",
    r"\bthe own\b": "say 'its own', or name the owner",
    r"\bdrawn anew\b": "say 'resampled'",
}  # fmt: skip

# German word order and prepositions.
PLACES = {
    r"\b(?:stands?|standing|stood) (?:in|at|there|here|apart|before|behind|along|around|on|once|alone|above|below|under|where|first|second|last|between|by|among|only|with|nowhere)\b": "say 'is in', 'appears', or name the place",
    r"(?<!as )\b(?:it|they|that|which|each|numbers?|facts?|norms?) stands?(?=[.,;:)]|$)": "say 'is in', 'holds', or name the place",
    r"\bl(?:ies?|ay|ying) (?:there|here|on disk|below|in (?:it|a folder|its folder|the folder|an?other))\b|\b(?:files?|records?|results?|data|trials?|runs?|it|they|numbers|caches?) (?:that )?l(?:ies?|ay)(?=[.,;:)]|$)": "say 'is', 'is stored in'",
    r"\bwhere (?:it|they|the \w+|an? \w+) (?:lies?|stands?)\b": "say 'its path', 'its place'",
    r"\b(?:that|which|who|it|they) (?:is|are|was|were) (?:not )?there\b": "say 'exists', 'is available'",
    r"(?<!code )(?<!left )\bbehind (?:each|all|those|them|the (?:first|last|position|training|encoder|other|others))\b": "say 'after'",
    r"\bone behind the other\b": "say 'in turn', 'in order'",
    r"\bthe (?:one|ones) (?:before|after)\b": "say 'the previous one', or repeat the noun",
    r"\b(?:came|comes?) out\b": "say 'result'",
    r"\b(?:who|which|that) alone\b|\bhas (?:it|the machine) alone\b|\bthe machine to itself\b|\bmust be alone\b|\balone (?:has|holds|says|decides|hears)\b": "say 'only', 'an exclusive lock'",
}  # fmt: skip

# Labels that are a whole block of a page.
LABELS = {r"^of$": "say 'comparison'", r"^beside it$": "say 'also measured'"}

GROUPS = (CLAUSES, PARTICIPLES, RIDDLES, TERMS, PLACES, LABELS)
PATTERNS = [
    (re.compile(pattern, re.IGNORECASE), advice, group is CLAUSES)
    for group in GROUPS
    for pattern, advice in group.items()
]
# All begin with a word: to try them at the starts of words alone is several times as fast.
ANY = re.compile(
    rf"(?<!\w)(?=\w)(?:{'|'.join(pattern.pattern for pattern, *_ in PATTERNS)})", re.IGNORECASE
)


def banned(sentence: Sentence) -> list[tuple[int, str, str]]:
    """Return offset in the text, words and advice of each banned phrase of a sentence."""
    line = " ".join(sentence.text.split())
    if not ANY.search(line):
        return []
    starts = [match.start() for match in re.finditer(r"\S+", sentence.text)]
    return [
        (sentence.offset + starts[line.count(" ", 0, match.start())], match[0], advice)
        for pattern, advice, is_clause in PATTERNS
        if not (is_clause and sentence.is_question)
        for match in pattern.finditer(line)
    ]
