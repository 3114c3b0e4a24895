"""`store` lists and prunes; without yes=true it only lists."""

import json
import sys
from pathlib import Path

import pytest

from runner.commands.store import HELP, manage_store
from runner.commands.store_table import format_rows
from runner.config import ConfigError
from runner.inventory.stale_code import CurrentCode
from runner.records import locks
from tests.support.made_store import make_run, make_trial, trials_below


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Hashing the code of this checkout takes time; test_inventory.py tests it.
    monkeypatch.setattr(CurrentCode, "find_hash", lambda *_: "c")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Make a store of two experiments, one run, and trials that no run refers to."""
    folder = tmp_path / "outputs"
    for seed in range(3):
        make_trial(folder, "dense", seed, loss=3 - seed)
    make_trial(folder, "dense", 3, state="failed")
    make_trial(folder, "relu", 0, experiment="ffn", state="killed")
    make_run(folder, "2026-11-26_04-51-00_quick", [("dense", 0), ("dense", 1)])
    return folder


def test_the_list_has_a_row_for_each_experiment(outputs: Path, capsys: pytest.CaptureFixture[str]):
    manage_store([])
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[0].startswith("outputs: 5 trials, 1 run, ")
    rows = {line.split()[0]: line.split()[1:7] for line in lines[2:5]}
    assert rows["trials"] == ["done", "failed", "interrupted", "running", "stale", "unreferenced"]
    assert rows["ffn"] == ["0", "0", "1", "0", "0", "1"]
    assert rows["moe"] == ["3", "1", "0", "0", "0", "2"]
    assert "No run refers to 3 trials (" in printed
    assert lines[-1] == "All runs on one page: outputs/index.html"
    assert (outputs / "index.html").is_file()
    assert max(map(len, lines)) <= 100


def test_a_running_trial_is_named_and_never_deleted(
    outputs: Path, capsys: pytest.CaptureFixture[str]
):
    lock = outputs / "moe" / "trials" / "dense" / "seed-3" / "lock"
    with locks.open_lock_file(lock) as descriptor:
        locks.lock(descriptor, exclusive=True, on_wait=pytest.fail)
        manage_store([])
        assert "moe: running now: dense seed 3\n" in capsys.readouterr().out
        manage_store(["prune", "unreferenced=true", "yes=true"])
        assert "moe: dense seed 3 is running: it stays\n" in capsys.readouterr().out
    assert trials_below(outputs) == {("dense", seed) for seed in (0, 1, 3)}


@pytest.mark.parametrize("is_default", [True, False])
def test_the_suggested_command_names_the_folder_that_was_listed(
    outputs: Path, is_default: bool, capsys: pytest.CaptureFixture[str]
):
    folder = outputs if is_default else outputs.rename("elsewhere")
    manage_store([] if is_default else [f"outputs={folder}"])
    end = "" if is_default else " outputs=elsewhere"
    assert f"python -m runner store prune unreferenced=true{end}\n" in capsys.readouterr().out


@pytest.mark.parametrize("choice", ["unreferenced=true", "keep_weights=none"])
def test_without_a_yes_nothing_changes(
    outputs: Path, choice: str, capsys: pytest.CaptureFixture[str]
):
    before = sorted(outputs.rglob("*"))
    manage_store(["prune", choice])
    printed = capsys.readouterr().out
    assert "moe: to delete: " in printed
    assert printed.endswith("Nothing is deleted without yes=true.\n")
    assert sorted(outputs.rglob("*")) == before


def test_the_suggested_command_names_another_folder(
    outputs: Path, capsys: pytest.CaptureFixture[str]
):
    manage_store([])
    assert "python -m runner store prune unreferenced=true\n" in capsys.readouterr().out
    outputs.rename(other := outputs.with_name("my runs"))
    manage_store([f"outputs={other}"])
    command = f"python -m runner store prune unreferenced=true 'outputs={other}'\n"
    assert command in capsys.readouterr().out


def test_the_list_counts_only_trials_that_prune_would_delete(
    outputs: Path, capsys: pytest.CaptureFixture[str]
):
    command = "python -m runner store prune unreferenced=true"
    (outputs / "moe" / "trials" / "dense" / "seed-2" / "mynotes.txt").touch()
    manage_store([])
    printed = capsys.readouterr().out
    assert "moe: dense seed 2 holds mynotes.txt: it stays\n" in printed
    assert "No run refers to 3 trials. 1 of them stays, as above. To delete the others (" in printed
    assert f"): {command}\n" in printed
    (outputs / "moe" / "runs" / "2026-11-26_04-51-00_quick" / "study.json").write_text("{")
    manage_store(["experiment=moe"])
    printed = capsys.readouterr().out
    assert "study.json cannot be read: its trials are unknown\n" in printed
    assert (
        "No run refers to 4 trials. Prune deletes none of them, for the reasons above." in printed
    )
    assert command not in printed
    manage_store(["experiment=ffn"])
    assert "No run refers to 1 trial (" in (printed := capsys.readouterr().out)
    assert f"{command} experiment=ffn\n" in printed
    manage_store(["prune", "unreferenced=true", "yes=true"])
    assert trials_below(outputs) == {("dense", seed) for seed in range(4)}
    assert trials_below(outputs, "ffn") == set()


def test_each_example_of_the_help_is_a_command_that_works(outputs: Path):
    lines = [line.split("  ")[1] for line in HELP.splitlines() if line.startswith("  store ")]
    examples = [line.removeprefix("store ").strip("'") for line in lines if "=" in line]
    assert len(examples) >= 7
    Path("DIR").mkdir()
    for example in examples:
        if "plugins" not in example:
            manage_store(example.split())
    assert trials_below(outputs) == {("dense", 0), ("dense", 1)}  # the last one has yes=true


@pytest.mark.parametrize(("answer", "is_deleted"), [("y", True), ("", False), ("no", False)])
def test_a_terminal_is_asked(
    outputs: Path, answer: str, is_deleted: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    manage_store(["prune", "unreferenced=true"])
    assert (len(trials_below(outputs)) == 2) is is_deleted


def test_prune_deletes_what_it_has_listed(outputs: Path, capsys: pytest.CaptureFixture[str]):
    manage_store(["prune", "unreferenced=true", "keep_weights=best", "yes=true"])
    printed = capsys.readouterr().out
    for verb in ("to delete", "deleted"):
        assert f"ffn: {verb}: 1 trial that no run refers to (" in printed
        assert f"moe: {verb}: 2 trials that no run refers to (" in printed
        assert f"moe: {verb}: weights of 1 finished trial (" in printed
        assert "except of the best seed of each arm" in printed
    assert " are free.\n" in printed
    assert trials_below(outputs) == {("dense", 0), ("dense", 1)}
    manage_store(["prune", "unreferenced=true", "keep_weights=best", "yes=true"])
    assert capsys.readouterr().out == "There is nothing to delete.\n"


def test_a_list_names_each_trial_that_goes(outputs: Path, capsys: pytest.CaptureFixture[str]):
    for seed in (*range(10, 16), 17, 20):
        make_trial(outputs, "many", seed)
    manage_store(["prune", "unreferenced=true"])
    assert "\n  many: seeds 10-15, 17, 20\n" in capsys.readouterr().out


def test_the_list_says_what_a_run_does_with_trials_of_other_versions(
    outputs: Path, capsys: pytest.CaptureFixture[str]
):
    for seed, record_format in enumerate([1, None, 3], 50):
        slot = make_trial(outputs, "dense", seed)
        status = json.loads((slot.folder / "status.json").read_text())
        changed = {**status, "format": record_format}
        if record_format is None:
            del changed["format"]
        (slot.folder / "status.json").write_text(json.dumps(changed))
    manage_store([])
    assert (
        "moe: 3 trials of another version of ablab (formats 1, 3 and none): a run is refused, "
        "because a newer version has written dense seed 52\n"
    ) in capsys.readouterr().out


def test_an_experiment_that_is_a_link_is_named(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "moe").symlink_to(outputs / "moe")
    for folder in (tmp_path / "elsewhere", outputs):
        manage_store([f"outputs={folder}"])
        said = "moe is a link, which is not followed\n" in capsys.readouterr().out
        assert said == (folder != outputs)


def test_one_experiment_is_pruned_alone(outputs: Path):
    manage_store(["prune", "unreferenced=true", "experiment=ffn", "yes=true"])
    assert len(trials_below(outputs)) == 4
    assert trials_below(outputs, "ffn") == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("prun", "prun: store has no such command; did you mean prune?"),
        ("prune", "choose the trials to delete: unreferenced=true"),
        ("prune yes=true", "choose the trials to delete: unreferenced=true"),
        ("prune keep_weights=bst", "keep_weights=bst: there is no such value; did you mean best?"),
        ("prune unreferenced=yes", "unreferenced=yes must be true or false"),
        ("prune unreferenced=true yes=1", "yes=1 must be true or false"),
        ("prune unreferenced=true older_than=3", "older_than=3 must be a whole number and a unit"),
        ("prune unreferenced=true older_than=", "older_than= must be a whole number and a unit"),
        ("prune unreferenced=true experiment=mo", "has no such experiment; did you mean moe?"),
        ("unreferenced=true", "unreferenced= needs prune: python -m runner store prune"),
        ("older_than=3d", "store prune unreferenced=true older_than=..."),
        ("outputs=absent", "outputs=absent: there is no such folder"),
        (f"outputs={'x' * 300}", "there is no such folder"),
        (f"outputs={__file__}", "is a file; name the folder of your runs"),
        ("prune moe unreferenced=true", "moe is too much; type python -m runner store"),
    ],
)
def test_bad_arguments_are_one_clear_line(outputs: Path, arguments: str, said: str):
    before = sorted(outputs.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        manage_store(arguments.split())
    assert said in str(caught.value)
    assert sorted(outputs.rglob("*")) == before


def test_a_store_that_cannot_be_written_is_one_line(outputs: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match=r"nothing can be deleted there \(.*Read-only"):
        manage_store(["prune", "unreferenced=true", "yes=true"])
    assert len(trials_below(outputs)) == 4


def test_columns_are_aligned():
    assert format_rows([("a", "b"), ("long", "1")]) == ["a     b", "long  1"]
