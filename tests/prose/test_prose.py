"""The checker of prose finds planted faults, passes plain English, and passes the project."""

from pathlib import Path

import pytest

from tests.prose import configs, hard, markdown, names, pages
from tests.prose.__main__ import main, table
from tests.prose.banned import PATTERNS
from tests.prose.check import CATEGORIES, ZERO, check, examine
from tests.prose.python import Module
from tests.prose.sentences import MOST_WORDS, NOT_AN_END, split
from tests.prose.texts import COMMENTS, LONG, NAMES, ROOT, WORDS, Finding, Text

LONG_TEXT = " ".join(["word"] * (MOST_WORDS + 1))


def sentences(body: str) -> list[str]:
    """Return the sentences of a text, for comparison."""
    return [sentence.text.replace(NOT_AN_END, ".") for sentence in split(body)]


def kinds(body: str) -> list[str]:
    """Return the kinds of the findings in a text."""
    return [finding.kind for finding in examine(Text("x.py", 1, "docstrings", body))]


def python(source: str, path: str = "runner/x.py") -> list[Finding]:
    """Return the findings in the texts of a Python file."""
    return [finding for text in Module(path, source).texts() for finding in examine(text)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("One ends here. Two ends here.", ["One ends here.", "Two ends here."]),
        ("Is it one? Yes! It is.", ["Is it one?", "Yes!", "It is."]),
        ("One goes\nover lines. Two.", ["One goes\nover lines.", "Two."]),
        ("Both: The colon ends one.", ["Both:", "The colon ends one."]),
        ("Both: the colon ends none.", ["Both: the colon ends none."]),
        ("A semicolon; ends nothing.", ["A semicolon; ends nothing."]),
        ("See e.g. Xu et al. 2017 for 0.5.", ["See e.g. Xu et al. 2017 for 0.5."]),
        ('It says "no." Then it ends.', ['It says "no."', "Then it ends."]),
        ("It ends. training.steps=5 begins.", ["It ends.", "training.steps=5 begins."]),
        ("One paragraph\n\nanother one", ["One paragraph", "another one"]),
        ("- one item\n- another\n  on two lines", ["one item", "another\n  on two lines"]),
        ("- one item\nA paragraph", ["one item", "A paragraph"]),
        ("Args:\n    path: a file.\n    rows: all", ["Args:", "path: a file.", "rows: all"]),
        ("scaled: one value\nplain: another", ["scaled: one value", "plain: another"]),
        ("A wrapped line\nhere: it goes.", ["A wrapped line\nhere: it goes."]),
        ("arms  these\nlog   one\n      or two", ["arms", "these", "log", "one\n      or two"]),
    ],
)  # fmt: skip
def test_text_is_split_into_sentences(body: str, expected: list[str]) -> None:
    assert sentences(body) == expected


@pytest.mark.parametrize(
    ("body", "n_words"),
    [
        ("`python -m runner experiment=moe` runs it", 3),
        ("see https://example.org/a/b?c=d for it", 4),
        ("takes 20 MiB, 5 % and 1.5 s", 5),
        ("a token (Fedus et al. 2021, table 1) of it", 4),
        ("a - b = c -> d", 4),
        ("[the guide](docs/trust.md) has it", 4),
    ],
)
def test_words_are_counted(body: str, n_words: int) -> None:
    assert [sentence.n_words for sentence in split(body)] == [n_words]


def test_a_long_sentence_is_a_finding() -> None:
    assert kinds(f"{LONG_TEXT}.") == [LONG]
    assert kinds(LONG_TEXT.removesuffix(" word") + ".") == []
    assert kinds("Short one. " + LONG_TEXT.replace(" ", "\n", 5)) == [LONG]


@pytest.mark.parametrize(
    ("dialect", "plain"),
    [
        ("What a run holds.", "The files of a run."),
        ("Load what is gone on from.", "Load the checkpoint to resume from."),
        ("Read\nwhat the trial has left.", "Read the records of the trial."),
        ("Who times has it alone.", "The timing process holds an exclusive lock."),
        ("Those that failed are named.", "The failed trials are named."),
        ("The training goes on.", "The training continues."),
        ("It is not kept, lest it crowd out another.", "It is removed, so that others are kept."),
        ("The exercise's own sizes.", "The textbook sizes."),
        ("Results of other code never are in silence.", "The run says so and recomputes it."),
        ("This is no YAML.", "This is not YAML. There is no file."),
        ("It is one arm once more.", "It is the A/A pair of the arm."),
        ("The rig of a claim.", "The preconditions of a verdict."),
        ("beside it", "also measured"),
        ("of", "comparison"),
        ("It was told.", "It was reported. The arms can be told apart."),
        ("The file stands in a folder.", "The file is in a folder. It stands for a number."),
    ],
)
def test_dialect_is_a_finding_and_plain_english_is_none(dialect: str, plain: str) -> None:
    assert WORDS in kinds(dialect)
    assert kinds(plain) == []


@pytest.mark.parametrize(
    "body",
    [
        "What is an arm?",
        "The message says what is wrong.",
        "The file was not found.",
        "`what is told` in code is skipped.",
        "It is no longer there is no reason.",
        "Set them aside from the others.",
    ],
)
def test_plain_english_passes(body: str) -> None:
    assert kinds(body) == []


def test_each_banned_phrase_has_advice() -> None:
    assert all(advice for _, advice, _ in PATTERNS)
    assert 60 <= len(PATTERNS) <= 120


def test_findings_name_the_line() -> None:
    body = "One line.\n\nTwo lines of\nwhich the last is told."
    assert [finding.line for finding in examine(Text("x", 10, "docs", body))] == [13]


def test_docstrings_comments_and_messages_are_read() -> None:
    source = '''"""What a module holds."""

SIZE = 3
"""Said once."""

# It goes
# on here.
x = f"no # comment"  # noqa: F541 - told there


def f(path: "what is a b") -> None:
    """Say so.

    This is told.
    """
    raise ValueError(f"{path}: the door"
                     f" of it is {path!r} mended") from None


print("three told words", "told", help("a" + "b told c" + path))
'''
    lines = sorted((finding.line, finding.category) for finding in python(source))
    assert lines == [
        (1, "docstrings"), (4, "docstrings"), (6, "comments"), (8, "comments"), (14, "docstrings"),
        (16, "errors"), (16, "errors"), (20, "errors"), (20, "errors"),
    ]  # fmt: skip


def test_strings_are_sorted_by_package() -> None:
    source = 'x = "told you"\nraise ValueError("told")\n'
    assert [each.category for each in python(source, "runner/report/x.py")] == ["report", "errors"]
    assert [each.category for each in python(source, "runner/plan/x.py")] == ["errors"]
    assert python(source, "tests/x.py") == []


def test_shapes_and_patterns_are_not_prose() -> None:
    assert (
        python('Scores = Float[Tensor, "batch what is told"]\nx = re.compile(r"(?:told you so)")')
        == []
    )


def test_markdown_is_read_with_its_descriptions() -> None:
    source = (
        "# Told\n\nA `told` word.\n\n```\npython -m told    # what is told\n"
        "runner/told     the doors\n```\n\n| told | told |\n| --- | --- |\n"
    )
    texts = [*markdown.texts("README.md", "readme", source)]
    found = sorted(finding.line for text in texts for finding in examine(text))
    assert found == [1, 6, 6, 7, 10, 10]


def test_yaml_is_read_without_its_commands() -> None:
    source = (
        "# @package _global_\n# The told header.\n#\n"
        "#   python -m runner what.is=told    the told description \\\n#     told.what=1\n"
        "statement: The told arm.   # told once\nmetric: told\n"
        "headline:\n  - {label: told, of: told}\n"
        "caption: >-\n  What is drawn\nnot_tested: [told, 'not so']\n"
    )
    findings = [finding for text in configs.texts("x.yaml", source) for finding in examine(text)]
    assert sorted(finding.line for finding in findings) == [2, 4, 6, 6, 9, 11, 12]


def test_pages_are_read_without_their_code() -> None:
    source = (
        "<style>told { }</style>\n{# told #}<p>Not <b>told</b> at all</p>\n<dt>of</dt>\n"
        "<td>{{ told }}</td><dd>{{ 'beside it' if told else '' }}</dd><code>told</code>\n"
    )
    findings = [f for text in pages.texts("x.html", "report", source) for f in examine(text)]
    assert {finding.line for finding in findings} == {2, 3, 4}


def test_empty_names_are_findings() -> None:
    source = """
class Rig:
    kept: int = 0

def look(found, rows):
    self.told = [_given for _given in rows if (made := rows)]
    for held in rows:
        metrics = lambda shown: shown
    found = rows
    with open(rows) as here:
        return metrics, message
"""
    findings = [*names.findings(Module("runner/copies.py", source))]
    assert {finding.kind for finding in findings} == {NAMES}
    found = sorted(finding.message.split("`")[1] for finding in findings)
    assert " ".join(found) == "Rig _given copies found held here kept look made shown told"
    assert [*names.findings(Module("runner/pairs.py", "rows = metrics = left"))] == []


def function(*blocks: int) -> Module:
    """Return a file with a method that has a comment before blocks of so many lines."""
    lines = ["class A:", "    def f(self):", '        """Return it."""']
    for size in blocks:
        lines += ["        # a step", *["        x = 1"] * size]
    return Module("x.py", "\n".join(lines))


@pytest.mark.parametrize(
    ("blocks", "n_findings"),
    [((8, 8), 0), ((11, 2), 1), ((11, 3, 12), 2), ((10, 10, 10), 0), ((3,), 0)],
)
def test_gaps_without_comments_are_findings(blocks: tuple[int, ...], n_findings: int) -> None:
    module = function(*blocks)
    method = hard.named(module.tree, "A.f")
    assert method is not None
    assert len([*hard.uncommented(module, method, "A.f")]) == n_findings


def test_too_few_comments_are_a_finding() -> None:
    module = Module("x.py", "def f():\n" + "    x = 1\n" * 9)
    method = hard.named(module.tree, "f")
    assert method is not None
    (finding,) = hard.uncommented(module, method, "f")
    assert "0 comment lines for 9 lines of code, at least 1" in finding.message


def test_a_hard_function_that_is_missing_is_a_finding(tmp_path: Path) -> None:
    findings = [*hard.findings(tmp_path)]
    assert len(findings) == sum(map(len, hard.HARD.values()))
    assert {finding.kind for finding in findings} == {COMMENTS}
    assert "function compose_arm not found" in findings[0].message


def test_the_table_has_totals_and_the_list_has_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text("A plain text.\n\nIt was told twice.\n")
    (tmp_path / "ablab.py").write_text("found = 1\n")
    assert main(["--root", str(tmp_path), "--only", "names", "readme"]) == 1
    table_lines = capsys.readouterr().out.splitlines()
    assert any(" ".join(line.split()) == "README.md 1 0 0 0" for line in table_lines)
    assert any(" ".join(line.split()) == "total of names 0 0 1 0" for line in table_lines)
    assert main(["--root", str(tmp_path), "--only", "names"]) == 0
    capsys.readouterr()
    assert main(["--root", str(tmp_path), "--only", "readme", "--list", "README.md"]) == 1
    assert capsys.readouterr().out.startswith("README.md:3: banned words: 'told': say ")
    assert len(table([])) == 1 + 3 * len(CATEGORIES)


def test_the_project_has_no_finding() -> None:
    findings = check(ROOT, ZERO)
    assert not findings, "\n".join(map(str, findings[:20]))
