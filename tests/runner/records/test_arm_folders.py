"""Folders of arms: readable names, found by signature, whatever their records say."""

import errno
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runner.records import arm_folders
from runner.records.arm_folders import (
    ARM,
    SIGNATURE,
    ArmFolders,
    claim_folder,
    read_signature,
    signature,
    signature_text,
    write_arm,
    write_signature,
)
from runner.records.store import Store


def text_of(number: float) -> str:
    return signature_text({"training": {"lr": number}}, "data", None)


def make_arm(root: Path, name: str, number: float, seeds: int = 1) -> Path:
    """Make the folder of an arm as a study does."""
    text = text_of(number)
    folder = ArmFolders(root).get_or_choose(name, signature(text))
    folder.mkdir(parents=True)
    write_arm(folder, text)
    for seed in range(seeds):
        (folder / f"seed-{seed}").mkdir()
        (folder / f"seed-{seed}" / "status.json").write_text("{}")
    return folder


def test_a_folder_has_the_name_of_its_arm_and_a_second_arm_gets_a_few_digits(tmp_path: Path):
    first, second = make_arm(tmp_path, "dense", 1), make_arm(tmp_path, "dense", 2)
    assert first.name == "dense"
    assert second.name == f"dense-{signature(text_of(2))[:6]}"
    folders = ArmFolders(tmp_path)
    assert folders.get_or_choose("renamed", signature(text_of(1))) == first
    assert folders.get_or_choose("dense", signature(text_of(2))) == second


def test_digits_are_added_until_the_name_is_free(tmp_path: Path):
    mark = signature(text_of(1))
    for name in ("dense", f"dense-{mark[:6]}", f"dense-{mark[:7]}"):
        write_foreign(tmp_path / name)
    assert ArmFolders(tmp_path).get_or_choose("dense", mark).name == f"dense-{mark[:8]}"


def write_foreign(folder: Path) -> None:
    """Make a folder with a trial of an unknown arm."""
    (folder / "seed-0").mkdir(parents=True)
    (folder / "seed-0" / "status.json").write_text("{}")


def test_two_new_arms_of_one_study_never_share_a_folder(tmp_path: Path):
    folders = ArmFolders(tmp_path)
    marks = [signature(text_of(number)) for number in range(3)]
    chosen = [folders.get_or_choose(name, mark) for name, mark in zip("aAa", marks, strict=True)]
    assert len({folder.name.casefold() for folder in chosen}) == 3
    assert folders.get_or_choose("b", marks[0]) == chosen[0]


@pytest.mark.parametrize("name", ["previous", "seed-0", "lock", "arm.json", "x-0123456789abcdef"])
def test_any_name_that_an_arm_may_have_is_a_folder_of_its_own(tmp_path: Path, name: str):
    folder = make_arm(tmp_path / "moe" / "trials", name, 1)
    assert folder.name == name
    store = Store(tmp_path, "moe")
    slot = store.slot(name, signature(text_of(1)), 0)
    assert slot.folder == folder / "seed-0"
    assert slot.arm_folder == folder
    assert slot.previous.arm_folder == folder


def test_a_folder_of_an_earlier_version_is_found_by_its_name(tmp_path: Path):
    mark = signature(text_of(1))
    (tmp_path / f"dense-{mark}").mkdir()
    assert ArmFolders(tmp_path).get(mark) == tmp_path / f"dense-{mark}"
    assert ArmFolders(tmp_path).get_or_choose("dense", signature(text_of(2))).name == "dense"


@pytest.mark.parametrize("damage", ["", "{}", "0123", "nonsense\n", "\x00" * 16])
def test_one_damaged_record_does_not_lose_an_arm(tmp_path: Path, damage: str):
    folder, mark = make_arm(tmp_path, "dense", 1), signature(text_of(1))
    (folder / ARM).write_text(damage)
    assert ArmFolders(tmp_path).get(mark) == folder
    write_arm(folder, text_of(1))
    (folder / SIGNATURE).write_text(damage)
    assert ArmFolders(tmp_path).get(mark) == folder
    write_signature(folder, mark)
    assert (folder / SIGNATURE).read_text() == f"{mark}\n"
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_number_that_json_cannot_hold_is_found_by_the_signature(tmp_path: Path):
    folder = make_arm(tmp_path, "dense", float("inf"))
    assert json.loads((folder / ARM).read_text())["config"]["training"]["lr"] is None
    assert read_signature(folder) == signature(text_of(float("inf")))


def test_trials_of_an_unknown_arm_are_kept_and_an_empty_folder_is_used(tmp_path: Path):
    (tmp_path / "dense").mkdir()  # the rest of a command that was killed at this moment
    folders = ArmFolders(tmp_path)
    assert folders.get_or_choose("dense", signature(text_of(1))) == tmp_path / "dense"
    shutil.rmtree(tmp_path / "dense")
    write_foreign(tmp_path / "dense")
    assert ArmFolders(tmp_path).get_or_choose("dense", signature(text_of(1))).name != "dense"


def test_of_two_folders_of_one_arm_always_the_same_counts(tmp_path: Path):
    folder = make_arm(tmp_path, "dense", 1)
    shutil.copytree(folder, tmp_path / "dense-of-a-friend")
    shutil.copytree(folder, tmp_path / ".damaged-dense")
    assert ArmFolders(tmp_path).get(signature(text_of(1))) == folder


def test_a_copy_that_comes_first_does_not_replace_the_arms_folder(tmp_path: Path):
    first, second = make_arm(tmp_path, "dense", 1), make_arm(tmp_path, "dense", 2)
    for folder in (first, second):
        shutil.copytree(folder, tmp_path / f"a_backup_of_{folder.name}")
    folders = ArmFolders(tmp_path)
    for number, folder in ((1, first), (2, second)):
        mark = signature(text_of(number))
        assert folders.get_or_choose("dense", mark) == folder
        assert folders.get_or_choose("another_name", mark) == folder  # in the same study
        assert folders.get(mark) == folder
    renamed = {ArmFolders(tmp_path).get_or_choose("x", signature(text_of(1))) for _ in range(3)}
    assert renamed == {tmp_path / "a_backup_of_dense"}


def test_only_one_arm_can_claim_a_folder(tmp_path: Path):
    marks = [signature(text_of(number)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda mark: claim_folder(tmp_path / "dense", mark), marks))
    assert sum(claims) == 1
    winner = marks[claims.index(True)]
    assert (tmp_path / "dense" / SIGNATURE).read_text() == f"{winner}\n"
    assert claim_folder(tmp_path / "dense", winner)
    assert list((tmp_path / "dense").iterdir()) == [tmp_path / "dense" / SIGNATURE]


def test_a_folder_can_be_claimed_whose_name_ends_like_a_signature(tmp_path: Path):
    folder, mark = tmp_path / "x-0123456789abcdef", signature(text_of(1))
    assert claim_folder(folder, mark)
    assert read_signature(folder) == mark


def test_a_folder_with_an_unreadable_signature_is_not_claimed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(arm_folders, "CLAIM_SECONDS", 0.01)
    (tmp_path / "dense").mkdir()
    (tmp_path / "dense" / SIGNATURE).touch()
    mark = signature(text_of(1))
    assert not claim_folder(tmp_path / "dense", mark)
    assert ArmFolders(tmp_path).get_or_choose("dense", mark).name == f"dense-{mark[:6]}"


def test_a_signature_that_cannot_be_written_leaves_the_folder_free(tmp_path: Path, monkeypatch):
    def write(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    mark = signature(text_of(1))
    with monkeypatch.context() as patch:
        patch.setattr(arm_folders, "open", write, raising=False)
        with pytest.raises(OSError, match="full"):
            claim_folder(tmp_path / "dense", mark)
    assert claim_folder(tmp_path / "dense", mark)


def test_a_thousand_arms_are_found_in_a_moment(tmp_path: Path):
    for number in range(1000):
        folder = tmp_path / f"arm{number}"
        folder.mkdir()
        write_signature(folder, signature(text_of(number)))
    start = time.process_time()
    folders = ArmFolders(tmp_path)
    assert all(folders.get(signature(text_of(number))) for number in range(1000))
    assert time.process_time() - start < 1.0
