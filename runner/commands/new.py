"""`python -m runner new`: write a part, task or question of one's own, with a test that passes."""

import contextlib
import importlib.util
import keyword
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

from runner import registry
from runner.commands.verb_arguments import asks_for_help, read_verb_arguments
from runner.config import ConfigError
from runner.plan import option_folders
from runner.wording.names import name_hint
from runner.wording.output import describe_error, truncate_middle

USAGE = "python -m runner new <group> <name>"
HELP = f"""usage: {USAGE}

Write a file of your own into the current folder, with a test that passes.
It then prints the commands that use it. Nothing is overwritten.

  new ffn my_ffn                  my_ffn.py: a feed-forward network
  new attention my_attention      my_attention.py: an attention
  new norm my_norm                my_norm.py: a norm
  new task my_task                my_task.py: data to learn
  new question my_question        my_question/: a page and its YAML file

A whole language model needs no file of its own: pass its class to
runner.compare(..., group="model"); docs/bring_your_own.md has an example."""
TEMPLATES = Path(__file__).parent / "templates"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
YAML_WORDS = {"on", "off", "yes", "no", "y", "n", "true", "false", "null", "nan", "inf"}


class Kind(NamedTuple):
    """What `new` can write.

    Attributes:
        files: the files by name, each with its template.
        words: the arguments of the printed runs, besides `plugins`.
    """

    files: Mapping[str, str]
    words: tuple[str, ...]


PART_FILES = {"$name.py": "$group.txt", "test_$name.py": "test_part.txt"}
KINDS = {
    "attention": Kind(PART_FILES, ("experiment=moe", '+arms.mine=["ffn=dense","attention=$name"]')),
    "ffn": Kind(PART_FILES, ("experiment=ffn", '+arms.mine=["ffn=$name"]')),
    "norm": Kind(PART_FILES, ("experiment=moe", '+arms.mine=["ffn=dense","norm=$name"]')),
    "task": Kind(
        {"$name.py": "task.txt", "test_$name.py": "test_task.txt"},
        ("experiment=moe", "task=$name"),
    ),
    "question": Kind(
        {
            "$name/__init__.py": "question.txt",
            "$name/conf/experiment/$name.yaml": "question_yaml.txt",
            "test_$name.py": "test_question.txt",
        },
        ("experiment=$name",),
    ),
}


def write_new(arguments: Sequence[str]) -> None:
    """Write the files of a part, task or question, and print the commands that use them.

    Raises:
        ConfigError: the arguments or the name are not valid, or a file exists.
    """
    if asks_for_help(arguments):
        print(HELP)  # noqa: T201
        return
    words = read_verb_arguments(USAGE, arguments, (), most_words=2).words
    if len(words) < 2:
        raise ConfigError(f"name a group and your option: {USAGE}, e.g. new ffn my_ffn")
    group, name = words
    if group == "language_model":
        raise ConfigError(
            "language_model: new cannot write it; pass your class to "
            'runner.compare(..., group="model"), see docs/bring_your_own.md'
        )
    if group not in KINDS:
        raise ConfigError(
            f"{truncate_middle(group, 80)}: new cannot write it; {name_hint(group, KINDS)}"
        )
    check_spelling(name)
    files = [Path(Template(file).substitute(name=name)) for file in KINDS[group].files]
    check_absent(files)
    check_name(group, name)
    names = {"group": group, "name": name, "cls": class_name(name)}
    templates = [Template(each).substitute(names) for each in KINDS[group].files.values()]
    texts = [read_template(template, names) for template in templates]
    write_files(dict(zip(files, texts, strict=True)))
    print("\n".join([f"wrote {', '.join(map(str, files))}. Next:", ""]))  # noqa: T201
    print("\n".join(f"  {command}" for command in next_commands(group, name)))  # noqa: T201


def class_name(name: str) -> str:
    """Return the name of the class of an option: `quick_gelu` becomes `QuickGelu`."""
    joined = "".join(word.capitalize() for word in name.split("_"))
    return f"{joined}Option" if keyword.iskeyword(joined) else joined


def check_spelling(name: str) -> None:
    """Raise ConfigError for a name that cannot name a module and an option."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"{truncate_middle(name, 80)!r}: a name has at most 40 characters: a lower-case "
            "letter, then lower-case letters, digits and underscores, e.g. my_ffn"
        )
    if keyword.iskeyword(name) or name in YAML_WORDS:
        raise ConfigError(f"{name}: Python or YAML has another meaning for it; try my_{name}")


def check_absent(files: Iterable[Path]) -> None:
    """Raise ConfigError if a file exists."""
    for path in files:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} exists already, and is left as it is; choose another name")


def check_name(group: str, name: str) -> None:
    """Raise ConfigError for a name that an option of ablab or an installed module has."""
    if group != "question" and name in option_folders.option_names(group):
        raise ConfigError(f"{name}: ablab has its own {group}={name}; choose another name")
    if name in registry.experiment_names():
        raise ConfigError(f"{name}: ablab has an experiment of this name; choose another name")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is not None:
        raise ConfigError(
            f"{name}: a module of this name is installed, and would be imported instead; try "
            f"my_{name}"
        )


def read_template(template: str, names: Mapping[str, str]) -> str:
    """Return the text of a template with its names filled in."""
    return Template((TEMPLATES / template).read_text(encoding="utf-8")).substitute(names)


def write_files(files: Mapping[Path, str]) -> None:
    """Write files that do not exist yet, all of them or none.

    Raises:
        ConfigError: a file exists, or cannot be written.
    """
    with contextlib.ExitStack() as undo:
        try:
            for path, text in files.items():
                for folder in reversed(path.parents):
                    if not folder.exists():
                        folder.mkdir()
                        undo.callback(folder.rmdir)
                with path.open("x", encoding="utf-8") as file:
                    undo.callback(path.unlink)
                    file.write(text)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {describe_error(error)}") from error
        undo.pop_all()


def next_commands(group: str, name: str) -> list[str]:
    """Return the commands to type next: the test, a plan, and a smoke run."""
    words = [Template(word).substitute(name=name) for word in KINDS[group].words]
    run = ["python", "-m", "runner", f"plugins=[{name}]", *words]
    commands = [
        ["python", "-m", "pytest", f"test_{name}.py"],
        [*run, "plan=only"],
        [*run, "scale=smoke"],
    ]
    if importlib.util.find_spec("pytest") is None:
        commands.insert(0, ["python", "-m", "pip", "install", "pytest"])
    return [shlex.join(words) for words in commands]
