"""Inputs of users, from the real schema: overrides, YAML folders and text files."""

import json
from collections.abc import Sequence
from typing import Any

import yaml
from hypothesis import strategies as st

from runner.config import STUDY_KEYS
from runner.plan import option_folders
from runner.plan.keys import full_keys_by_field

BASES = (
    ("experiment=moe", "arm=dense"),
    ("experiment=moe", "arm=moe_top2"),
    ("experiment=ffn", "arm=relu"),
    ("experiment=gqa_vs_mha", "arm=mha"),
)
SMALL_OVERRIDES = (
    "scale=smoke",
    "task=waves",
    "task.width=8",
    "model.d_model=16",
    "training.steps=40",
)
GOOD = (
    *("n_seeds=3", "seed=7", "training.lr=1e-2", "training.batch_size=4", "model.n_layers=1"),
    *("training.eval_every=${training.log_every}", "workers=1", "~figures", "~claims"),
    *(
        "training.clip=null",
        "question='is it?'",
        "training={lr: 0.1}",
        "device=cpu",
        "match.by=none",
    ),
    *("training.schedule=constant", "not_tested=[a,b]", "duration=日本 minutes", "seed_offset=3"),
)
SECTIONS = ("training", "model", "task", "ffn", "device", "match", "options", "tune", "timing")
ODD_TEXTS = (
    *(
        "",
        " ",
        "null",
        "true",
        "nan",
        "-inf",
        "1e400",
        "1_000",
        "0x10",
        "1:30",
        "é",
        "日本語",
        "a b",
    ),
    *("a=b", "a,b", "[", "]", "{", "}", "(", "'", '"', "\\", "${", "}", "${x", "${training.steps}"),
    *(
        "${nope}",
        "${training}",
        "${now:%Y}",
        "${oc.env:HOME}",
        "${${x}}",
        "$x",
        "#",
        "@",
        "\t",
        "\n",
    ),
    *("../x", "a/b", "moe.yaml", "a.b.c", "-1", "+3", "--", "~", "*", "range(0,1e9)", "range(3)"),
    *(
        "choice(a,b)",
        "interval(0,1)",
        "glob(*)",
        "int(x)",
        "sort(3,a)",
        "shuffle(1)",
        "tag(a)",
        "f()",
    ),
    *("1,2,3", "{a:1}", "{null:1}", "{1:2}", "[1,[2,[3]]]", "[null]", "[[]]", "_target_", "???"),
    *("\ud800", "\u202e", "9" * 30, "9" * 5000, "x" * 500, "[" * 60 + "]" * 60, "a" * 21000),
)


def keys() -> list[str]:
    """Return all keys of the schema, except those of output folders, input files and imports."""
    known = [key for places in full_keys_by_field().values() for key in places]
    known += [*STUDY_KEYS, *option_folders.conf_group_names(), *SECTIONS]
    return sorted({*known} - {"outputs", "plugins", "task.path", "claims.x"})


def misspell(key: str, at: int, letter: str) -> str:
    """Return a key with one letter changed or added."""
    at %= len(key)
    return key[:at] + letter + key[at + (at % 2) :]


numbers = st.one_of(
    st.integers(-5, 40),
    st.sampled_from([2**31, 2**63, 10**23, -(10**20), 10**300]),
    st.floats(allow_nan=True),
)
texts = st.one_of(
    st.sampled_from(ODD_TEXTS), st.text(max_size=12).filter(lambda t: t[:1] not in "/~")
)
scalars: st.SearchStrategy[Any] = st.one_of(st.none(), st.booleans(), numbers, texts)
nested = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


def typed(value: Any) -> str:
    """Return a value as a user types it: sometimes with quotes, often without."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def options() -> st.SearchStrategy[str]:
    """Return one `key=value`, good or odd."""
    odd_keys = st.builds(
        misspell, st.sampled_from(keys()), st.integers(0, 20), st.sampled_from("xé._=")
    )
    any_key = st.one_of(st.sampled_from(keys()), st.sampled_from(keys()), odd_keys, texts)
    prefix = st.sampled_from(["", "", "", "", "+", "++", "~"])
    pair = st.builds(lambda p, k, v: f"{p}{k}={typed(v)}", prefix, any_key, nested)
    quoted = st.builds(lambda k, v: f"{k}={v!r}", st.sampled_from(keys()), texts)
    inner = st.one_of(st.sampled_from(GOOD), pair)
    arm = st.builds(
        lambda name, lines: f"+arms.{name}={json.dumps(lines, ensure_ascii=False)}",
        st.one_of(st.just("x"), texts),
        st.lists(inner, max_size=2),
    )
    own = st.builds(
        lambda kind, value: f"+{kind}.mine={typed(value)}",
        st.sampled_from(["claims", "figures"]),
        nested,
    )
    flags = st.sampled_from(
        ["--nonsense", "--experiment", "moe", "-m", "--lr=3", "--cfg=job", "-x"]
    )
    return st.one_of(pair, pair, quoted, arm, own, flags, texts)


def commands() -> st.SearchStrategy[list[str]]:
    """Return a whole command: a good one with up to two odd options and some good ones."""
    return st.builds(
        lambda base, good, odd: [*base, *SMALL_OVERRIDES, *good, *odd],
        st.sampled_from(BASES),
        st.lists(st.sampled_from(GOOD), max_size=3),
        st.lists(options(), max_size=2),
    ).map(typeable)


def typeable(words: Sequence[str]) -> list[str]:
    """Return words that a shell can pass: without NUL, and with undecodable characters as bytes."""
    return [word.replace("\0", "").encode("utf-8", "replace").decode() for word in words if word]


class Dumper(yaml.SafeDumper):
    """A dumper that writes texts unquoted, so that `${x}`, anchors and tags keep their meaning."""


def documents() -> st.SearchStrategy[str]:
    """Return the text of an experiment's YAML file, right, odd or damaged."""
    header = st.sampled_from(["# @package _global_\n"] * 8 + ["", "# @package hydra\n"])
    defaults = st.sampled_from(
        [{"defaults": ["moe", "_self_"]}] * 8
        + [
            {},
            {"defaults": "moe"},
            {"defaults": [3]},
            {"defaults": ["my"]},
            {"defaults": [{"a": 1, "b": 2}]},
        ]
        + [
            {"defaults": ["moe", {"override /ffn": "nope"}]},
            {"defaults": ["moe", {"/ffn@hydra.x": "moe"}]},
        ]
    )
    good = st.sampled_from(
        [{}, {"seed": 3}, {"n_seeds": 1}, {"training": {"lr": 0.1}}, {"question": "${duration}"}]
    )
    section = st.builds(
        lambda key, value: _tree(key, value),
        st.sampled_from([*keys(), "arms.x", "figures.f", "claims.c"]),
        nested,
    )
    body = st.builds(
        lambda first, some, odd: _dumped({**first, **some, **odd}),
        defaults,
        good,
        st.one_of(st.just({}), section, section, st.dictionaries(texts, nested, max_size=2)),
    )
    whole = st.builds(lambda head, text: head + text, header, body)
    raw = st.sampled_from(
        [
            "",
            "hello",
            "- a",
            "a: [",
            "a: &x [*x]",
            "seed: 1\nseed: 2",
            "\tx: 1",
            "? [a]\n: b",
            "a: !!python/name:os.system",
            "arms: {null: [ffn=dense]}",
            "x: " + "[" * 900,
            "--- 1\n--- 2",
            "seed: 1:30",
            "a: *nowhere",
            "<<: 3",
        ]
    )
    extra = st.builds(lambda bad: f"# @package _global_\ndefaults: [moe, _self_]\n{bad}\n", raw)
    return st.one_of(
        whole, whole, whole, st.builds(damaged, whole, st.integers(0, 10**6), texts), extra
    )


def damaged(text: str, at: int, by: str) -> str:
    """Return a text with an insertion in its middle."""
    at %= len(text) + 1
    return text[:at] + by + text[at + 1 :]


def _tree(key: str, value: Any) -> dict[str, Any]:
    """Return a dotted key as nested dictionaries."""
    first, dot, rest = key.partition(".")
    return {first: _tree(rest, value) if dot else value}


def _dumped(tree: dict[str, Any]) -> str:
    return yaml.dump(tree, Dumper=Dumper, allow_unicode=True, sort_keys=False)


def user_texts() -> st.SearchStrategy[dict[str, bytes]]:
    """Return a few files that a user calls text: UTF-8, other encodings, empty files, pictures."""
    words = st.text(min_size=10, max_size=60).map(
        lambda text: (text * 400).encode("utf-8", "replace")
    )
    content = st.one_of(
        words, words, st.binary(max_size=400), st.just(b""), st.just(b"\xef\xbb\xbfabc" * 300)
    )
    other = st.builds(
        lambda text, code: (text * 500).encode(code, "replace"),
        st.text(max_size=40),
        st.sampled_from(["utf-16", "latin-1", "shift_jis"]),
    )
    names = st.sampled_from(
        ["a.txt", "b.md", "c.bin", "日本.txt", "d e.txt", "[x].txt", "sub/a.txt", ".hidden"]
    )
    return st.dictionaries(names, st.one_of(content, other), max_size=4)
