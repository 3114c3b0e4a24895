"""Options of the tasks: what is learnt from, how long, how much of it is evaluated."""

from dataclasses import dataclass
from enum import StrEnum

from experiments.config.registering import at_least, option, share

MOST_TEXT = 50_000_000
"""Bytes; no domain has as many, whatever versions of the packages are installed."""


class Predict(StrEnum):
    """What `waves` and `patterns` ask of a model: the sequence itself, or its next value."""

    reconstruct = "reconstruct"
    next = "next"


class Unit(StrEnum):
    """What a token of a source sentence is."""

    word = "word"
    character = "character"


class SecondHeldOut:
    """A task that can draw held-out data beside the report's, for tuning to choose by."""

    def check_tuning(self) -> None:
        """Raise ValueError where the options leave too few for that."""


@option("task", "domains")
@dataclass
class Domains:
    """Byte-level language modelling on real text of labelled domains, from installed packages."""

    kind: str
    length: int
    domains: list[str]
    train_bytes: int
    n_eval: int

    def __post_init__(self) -> None:
        at_least(2, length=self.length)
        at_least(1, n_eval=self.n_eval, train_bytes=self.train_bytes)
        # To read all packages before it is found that they hold less takes seconds.
        for name, size in (
            ("train_bytes", self.train_bytes),
            ("n_eval * (length + 1)", self.n_eval * (self.length + 1)),
        ):
            if size > MOST_TEXT:
                raise ValueError(
                    f"{name}={size} is more than the packages hold that text is read from; it must "
                    f"be at most {MOST_TEXT}"
                )
        known = ("code", "english", "japanese")
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise ValueError(
                f"domains={list(self.domains)} must name each domain once, from {', '.join(known)}"
            )
        for name in self.domains:
            if name not in known:
                raise ValueError(f"domains names {name!r}; there are {', '.join(known)}")


@option("task", "text")
@dataclass
class Text:
    """Byte-level language modelling on the user's files: documents, in folders that are domains."""

    kind: str
    length: int
    path: str
    eval_share: float
    n_eval: int

    def __post_init__(self) -> None:
        at_least(2, length=self.length)
        at_least(1, n_eval=self.n_eval)
        if not self.path:
            raise ValueError("path is empty; give a file or a glob, e.g. task.path='my/*.md'")
        if "\0" in self.path or not _is_valid(self.path):
            raise ValueError(
                f"path={self.path!r} is no path in UTF-8; rename what it names, or give a pattern "
                f"(?, *) or the folder above it"
            )
        if not 0 < self.eval_share < 1:
            raise ValueError(f"eval_share={self.eval_share} must lie in (0, 1)")


def _is_valid(text: str) -> bool:
    """Whether text can be written: names that are no UTF-8 reach Python with lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@option("task", "waves")
@dataclass
class Waves(SecondHeldOut):
    """Three kinds of sequence: a slow sine, a fast sine, noise."""

    kind: str
    length: int
    width: int
    n_samples: int
    n_eval: int
    noise: float
    predict: Predict

    def __post_init__(self) -> None:
        at_least(2, length=self.length)
        at_least(1, width=self.width)
        at_least(3, n_samples=self.n_samples, n_eval=self.n_eval)
        at_least(0, noise=self.noise)


@option("task", "patterns")
@dataclass
class Patterns(SecondHeldOut):
    """Noise that depends on the last step, on half a sequence ago, or on a period ago."""

    kind: str
    length: int
    width: int
    n_eval: int
    local: float
    long_range: float
    periodic: float
    period: int
    predict: Predict

    def __post_init__(self) -> None:
        at_least(1, width=self.width)
        at_least(3, n_eval=self.n_eval)
        if not 2 <= self.period < self.length:
            raise ValueError(
                f"period={self.period} must be at least 2 and below length={self.length}"
            )
        for name in ("local", "periodic"):
            if not -1 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)} must lie in (-1, 1), or sequences would "
                    "grow without bound"
                )


@option("task", "induction")
@dataclass
class Induction(SecondHeldOut):
    """Random symbols, repeated: r r r ..., with a period of its own for each sequence."""

    kind: str
    length: int
    vocabulary: int
    max_period: int
    n_eval: int

    def __post_init__(self) -> None:
        # Fewer symbols have too few sequences of short periods to hold some of them out.
        at_least(16, vocabulary=self.vocabulary)
        at_least(3, max_period=self.max_period)
        at_least(1, n_eval=self.n_eval)
        if self.length < 2 * self.max_period:
            raise ValueError(
                f"length={self.length} must be at least twice max_period={self.max_period}, so "
                "that every second copy is whole"
            )

    def check_tuning(self) -> None:
        """Raise ValueError where the report may use up most of the held-out sequences there are."""
        # One in eight sequences is held out; the report draws at most a quarter of them.
        if self.n_eval > (most := self.vocabulary**self.max_period // 32):
            raise ValueError(
                f"task.n_eval={self.n_eval} leaves tuning too few held-out sequences that the "
                f"report does not use; with task.vocabulary={self.vocabulary} and task.max_period="
                f"{self.max_period} it must be at most {most}, or type tune=none"
            )


@option("task", "function")
@dataclass
class Function(SecondHeldOut):
    """Regression of sin_weight * sin(x) + cos_weight * cos(2x) from sequences of random x."""

    kind: str
    length: int
    width: int
    n_samples: int
    n_eval: int
    sin_weight: float
    cos_weight: float

    def __post_init__(self) -> None:
        at_least(
            1, length=self.length, width=self.width, n_samples=self.n_samples, n_eval=self.n_eval
        )


@option("task", "pairs15")
@dataclass
class Pairs15:
    """The exercise's fifteen English-Japanese pairs; other combinations of words are held out."""

    kind: str
    label_smoothing: float

    def __post_init__(self) -> None:
        share(label_smoothing=self.label_smoothing)

    @property
    def n_train(self) -> int:
        """Pairs to learn from."""
        return 15

    @property
    def source_length(self) -> int:
        """Tokens of the longest source; a task that has one needs an encoder-decoder."""
        return 2

    @property
    def length(self) -> int:
        """Tokens of the longest target with its end mark."""
        return 3


NEW_WORDS = {3: "thousand", 4: "万", 6: "million", 8: "億"}
"""Digits of a number -> the word that no number of so many digits has, and many with one more."""


@option("task", "numbers")
@dataclass
class Numbers(SecondHeldOut):
    """Numbers of up to `digits` digits in English words, to be written in Japanese.

    Besides those drawn like what is trained on, `n_eval` numbers that have up to `longer` digits
    more, and `n_eval` with 7 ten thousands, which are then never trained on, can be held out.
    """

    kind: str
    digits: int
    longer: int
    compositional: bool
    source_unit: Unit
    n_train: int
    n_eval: int
    label_smoothing: float

    def __post_init__(self) -> None:
        at_least(1, n_train=self.n_train, n_eval=self.n_eval)
        at_least(0, longer=self.longer)
        share(label_smoothing=self.label_smoothing)
        if not 3 <= self.digits <= 8:
            raise ValueError(f"digits={self.digits} must lie between 3 and 8")
        for digits, word in NEW_WORDS.items():
            if self.digits <= digits < self.digits + self.longer:
                raise ValueError(
                    f"longer={self.longer} with digits={self.digits} needs {word!r}, which no "
                    f"number of up to {digits} digits has; longer=1 fits digits=5 and digits=7"
                )
        if self.compositional and self.digits < 5:
            raise ValueError(
                f"compositional=true needs ten thousands: digits={self.digits} must be at least 5"
            )
        there = 10**self.digits // 16  # half of those held out, which are one in eight
        for name, most in (("n_train", 7 * there), ("n_eval", there)):
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be at most {most} with digits={self.digits}"
                )

    def check_tuning(self) -> None:
        """Raise ValueError where the report may use up most of the held-out numbers there are."""
        # Half of the number that the report may have: one in eight is held out.
        if self.n_eval > (most := 10**self.digits // 32):
            raise ValueError(
                f"task.n_eval={self.n_eval} leaves tuning too few held-out numbers that the report "
                f"does not use; with task.digits={self.digits} it must be at most {most}, or type "
                f"tune=none"
            )

    @property
    def source_length(self) -> int:
        """Tokens of the longest source that is learnt from.

        777 has 5 words and 31 characters, and a power of 1000 is at most " thousand, ".
        """
        groups = -(-self.digits // 3)
        return 6 * groups - 1 if self.source_unit is Unit.word else 42 * groups - 11

    @property
    def length(self) -> int:
        """Tokens of the longest target that is learnt from, with its end mark.

        A digit and its power each.
        """
        return 2 * self.digits
