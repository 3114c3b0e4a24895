"""The jobs and points of a sweep, read from the command line."""

from pathlib import Path

import pytest

from runner.config import ConfigError
from runner.plan.arguments import check_arguments, is_sweep
from runner.sweeps.jobs import SweepJob, combine, format_settings, split_typed
from runner.sweeps.points import SweepPoint, group_into_points
from runner.sweeps.request import note_equal_jobs, read_request, reserve_folder


def jobs_of(*typed: str) -> list[SweepJob]:
    return list(read_request(check_arguments(["-m", "experiment=moe", *typed])).jobs)


def points_of(*typed: str, seeds: tuple[int, int] = (0, 1)) -> tuple[list[SweepPoint], list[str]]:
    return group_into_points(jobs_of(*typed), lambda _: seeds)


def test_every_combination_of_the_listed_values_is_a_job():
    jobs = jobs_of("ffn.n_experts=4,8", "training.lr=1e-3,3e-3", "n_seeds=3")
    assert [dict(job.settings) for job in jobs] == [
        {"ffn.n_experts": n, "training.lr": lr} for n in (4, 8) for lr in (1e-3, 3e-3)
    ]
    assert all({"experiment=moe", "n_seeds=3"} <= {*job.overrides} for job in jobs)
    assert "++ffn.n_experts=8" in jobs[-1].overrides


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("seed=range(0,4)", [0, 1, 2, 3]),
        ("task=choice(waves,domains)", ["waves", "domains"]),
        ("ffn=glob(s*)", ["silu", "swiglu"]),
        ("arm=[dense,moe_top2],[moe_top1]", [["dense", "moe_top2"], ["moe_top1"]]),
        ("ffn.n_experts=4,4,8", [4, 8]),
    ],
)
def test_the_values_of_a_sweep(typed: str, values: list[object]):
    assert [next(iter(job.settings.values())) for job in jobs_of(typed)] == values


def test_a_job_names_only_settings_that_differ():
    axes = split_typed(["training.lr=1e-3,3e-3"])[1]
    jobs = combine(["experiment=moe", "n_seeds=9"], axes, ["n_seeds=2"])
    assert [job.overrides for job in jobs] == [
        ("experiment=moe", "n_seeds=2", f"training.lr={lr}") for lr in ("0.001", "0.003")
    ]
    assert [format_settings(job.settings) for job in jobs] == [
        "training.lr=0.001",
        "training.lr=0.003",
    ]


def test_the_last_of_two_typed_values_counts():
    assert len(jobs_of("seed=1", "seed=2,3")) == 2
    assert len(jobs_of("seed=2,3", "seed=1")) == 1


def test_a_typed_value_replaces_the_values_of_a_file():
    axes = split_typed(["ffn.n_experts=4,8"])[1]
    (job,) = combine([], axes, ["ffn.n_experts=16"])
    assert job.overrides == ("ffn.n_experts=16",)
    assert dict(job.settings) == {"ffn.n_experts": 16}


def test_equal_combinations_are_one_point_and_the_sweep_says_so():
    axes = split_typed(["ffn.n_experts=4,8,16"])[1]
    # The typed value is also one of the file, which must not make a second point of it.
    jobs = combine(["experiment=moe"], axes, ["n_seeds=2", "ffn.n_experts=4"])
    assert len(jobs) == 1
    (note,) = note_equal_jobs(jobs, axes)
    assert note.startswith("3 combinations of values are only 1 job")
    assert note_equal_jobs(combine([], axes, []), axes) == ()
    assert read_request(check_arguments(["-m", "experiment=moe", "seed=3,3,4"])).notes == (
        "3 combinations of values are only 2 jobs, because some have equal overrides",
    )


def test_two_sweeps_of_one_second_have_their_own_folders(tmp_path: Path):
    with reserve_folder(tmp_path / "o") as first, reserve_folder(tmp_path / "o") as second:
        assert first != second
        assert first.is_dir()
        assert second.is_dir()
        (second / "report.html").touch()
    assert [path.name for path in (tmp_path / "o" / "sweeps").iterdir()] == [second.name]
    with reserve_folder(tmp_path / "p"):
        pass
    assert not (tmp_path / "p").exists()
    for new in (("q",), ("q", "r", "s")):
        with reserve_folder(tmp_path.joinpath(*new)) as folder:
            folder.rmdir()  # it is gone already
        assert not (tmp_path / "q").exists()
    (tmp_path / "old" / "sweeps").mkdir(parents=True)  # another command has made it
    with reserve_folder(tmp_path / "old"):
        pass
    assert [*tmp_path.glob("old/*")] == []
    assert (tmp_path / "old").is_dir()


def test_a_folder_is_created_again_where_another_command_has_removed_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    create, failures = Path.mkdir, 2

    def mkdir(path: Path, *args: int, **options: bool) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise FileNotFoundError(path)
        create(path, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with reserve_folder(tmp_path) as folder:
        assert folder.is_dir()
    failures = 1_000_000  # it is always missing, as below a link to nowhere
    with reserve_folder(tmp_path) as folder:
        assert not folder.exists()


def test_a_folder_that_cannot_be_created_is_only_named(tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "absent" / "folder")
    for outputs in (tmp_path / "file", tmp_path / "link"):
        with reserve_folder(outputs) as folder:
            assert folder.parent == outputs / "sweeps"
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("outputs=a,b", "outputs cannot be swept over"),
        ("plugins=[a],[b]", "plugins cannot be swept over"),
        ("plan=only,run", "plan cannot be swept over"),
        ("fail_fast=true,false", "fail_fast cannot be swept over"),
        ("hydra/launcher=basic,joblib", "hydra/launcher cannot be swept over"),
        ("training.lr=interval(0.001,0.1)", "an interval needs a sweeper"),
        ("ffn.n_exprts=4,8", "did you mean n_experts"),
        ("ffn=relu,nope", "there is no such option"),
        ("seed=range(3,1)", "the sweep has no points"),
        ("seed=range(0,20000)", "at most 10,000 are allowed"),
    ],
)
def test_bad_sweeps_are_one_line_before_any_point_computes(text: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        jobs_of(text)
    assert len(str(caught.value).splitlines()) == 1


def test_jobs_that_differ_by_arm_or_seed_are_one_study():
    (point,), notes = points_of("arm=dense,moe_top2", "seed=0,1,2,3", "n_seeds=1")
    assert notes == []
    assert point.is_shared
    assert len(point.jobs) == 8
    assert dict(point.settings) == {}
    assert {"arm=[dense,moe_top2]", "seed=0", "n_seeds=4"} <= {*point.overrides}
    assert "n_seeds=1" not in point.overrides


def test_seeds_of_a_study_may_be_ranges_that_meet():
    (point,), _ = points_of("seed=0,8", seeds=(0, 8))
    assert {"seed=0", "n_seeds=16"} <= {*point.overrides}


def test_other_keys_make_a_study_for_each_value():
    points, _ = points_of("ffn.n_experts=4,8", "seed=0,1", "n_seeds=1")
    assert [dict(point.settings) for point in points] == [{"ffn.n_experts": n} for n in (4, 8)]
    assert [len(point.jobs) for point in points] == [2, 2]
    assert all(point.is_shared and "n_seeds=2" in point.overrides for point in points)
    assert [point.label for point in points] == ["ffn.n_experts=4", "ffn.n_experts=8"]


def test_seeds_with_a_gap_are_points_and_a_note_says_why():
    points, notes = points_of("seed=0,8", "n_seeds=1")
    assert [dict(point.settings) for point in points] == [{"seed": 0}, {"seed": 8}]
    assert not any(point.is_shared for point in points)
    assert notes == [
        "seeds 0 and 8 are not consecutive, so that each value of seed is a point of its own"
    ]


def test_arms_are_one_study_even_if_the_seeds_have_a_gap():
    points, notes = points_of("arm=dense,moe_top2", "seed=0,8", "n_seeds=1")
    assert [dict(point.settings) for point in points] == [{"seed": 0}, {"seed": 8}]
    assert all("arm=[dense,moe_top2]" in point.overrides for point in points)
    assert notes == [
        "seeds 0 and 8 are not consecutive, so that each value of seed is a point of its own"
    ]


def test_a_sweep_over_all_arms_and_one_is_a_study_of_all():
    (point,), _ = points_of("arm=null,dense", "n_seeds=1")
    assert "arm=null" in point.overrides


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "experiment=moe"], True),
        (["experiment=moe", "--multirun", "seed=0,1"], True),
        (["experiment=moe"], False),
        (["-m", "--help"], False),
    ],
)
def test_a_sweep_is_what_has_the_flag(arguments: list[str], expected: bool):
    assert is_sweep(arguments) is expected


def test_a_sweep_without_an_experiment_is_refused_once_and_not_at_each_point():
    with pytest.raises(ConfigError, match="no experiment is chosen; type experiment=<name>"):
        read_request(check_arguments(["-m", "ffn.n_experts=4,8"]))
