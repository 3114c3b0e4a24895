"""From overrides to arms: what reaches which arm, what is an error, what is signed."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra import compose

from experiments.parts.body import ModelOptions as ModelOptions
from runner import registry
from runner.config import ConfigError, Device, Scale, Training, signature_fields
from runner.plan import composition, option_folders, planning
from runner.plan.overrides import parse_override
from runner.plan.plan import Plan, PlannedArm
from runner.records import store
from tests.runner.plan.test_bad_input import planned_own

MOE = ("experiment=moe", "task=waves", "scale=quick")


def arms(plan: Plan) -> dict[str, PlannedArm]:
    return {arm.name: arm for arm in plan.arms}


def test_a_value_reaches_every_arm_that_has_the_key_and_is_noted_for_the_others(plan):
    made = plan(*MOE, "ffn.n_experts=4")
    found = arms(made)
    assert found["moe_top2"].config.parts.ffn.n_experts == 4
    assert found["moe_no_balance"].config.parts.ffn.n_experts == 4
    assert not hasattr(found["dense"].config.parts.ffn, "n_experts")
    assert any("ffn.n_experts does not apply to dense" in note for note in made.notes)


def test_a_key_that_no_arm_has_is_an_error(plan):
    with pytest.raises(ConfigError, match=r"ffn\.n_experts: no arm has this key"):
        plan(*MOE, "arm=dense", "ffn.n_experts=4")


def test_an_unknown_key_names_near_ones(plan):
    with pytest.raises(ConfigError, match="did you mean n_experts"):
        plan(*MOE, "ffn.n_exprts=4")


def test_the_arm_wins_over_the_command_line(plan):
    made = arms(plan(*MOE, "ffn.balance=bias"))
    assert made["moe_no_balance"].config.parts.ffn.balance.value == "none"


def test_an_added_arm_is_computed_beside_the_selected_ones(plan):
    made = arms(plan(*MOE, '+arms.fine=["ffn=moe","ffn.n_experts=32"]'))
    assert made["fine"].config.parts.ffn.n_experts == 32
    assert set(made) == {"dense", "moe_top2", "moe_no_balance", "moe_top2_copy", "fine"}


def test_errors_of_all_arms_come_in_one_message(plan):
    with pytest.raises(ConfigError) as caught:
        plan(*MOE, '+arms.a=["ffn=nope"]', '+arms.b=["ffn.top_k=99"]')
    assert "arm a" in str(caught.value)
    assert "arm b" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


def test_nothing_is_written_when_planning_fails(plan, tmp_path: Path):
    with pytest.raises(ConfigError):
        plan("experiment=moe", "ffn.top_k=9")
    assert list(tmp_path.iterdir()) == []


def test_a_group_choice_that_every_arm_replaces_is_warned_about(plan):
    made = plan(*MOE, "ffn=swiglu")
    (note,) = (note for note in made.notes if "ffn=swiglu has no effect" in note)
    assert "+arms.mine" in note
    assert note in made.setting_notes


def test_only_computed_arms_count_for_that_warning(plan):
    made = plan(*MOE, "arm=plain", "+arms.plain=['seed_offset=3']", "ffn=swiglu", "baseline=plain")
    assert not made.notes
    assert arms(made)["plain"].config.parts.ffn.gated
    notes = plan(*MOE, "arm=dense", "ffn=swiglu").notes
    assert any("has no effect" in note for note in notes)


def test_what_a_preset_says_of_another_option_is_left_out(plan):
    made = plan("experiment=translation", "scale=smoke", "arm=mine", "+arms.mine=['task=pairs15']")
    assert arms(made)["mine"].config.parts.task.kind == "pairs15"
    with pytest.raises(ConfigError, match="moe learns from sequences"):
        plan("experiment=moe", "scale=smoke", "task=pairs15")


@pytest.mark.parametrize("name", ["../../up", "a/b", "a.", "", ".hidden", "x" * 90])
def test_a_name_that_could_leave_the_store_is_refused(plan, monkeypatch, name: str):
    made = planning.read_study
    there = {name: ["ffn=moe"]}
    monkeypatch.setattr(
        planning, "read_study", lambda c: dataclasses.replace(made(c), arms=there, arm=None)
    )
    with pytest.raises(ConfigError, match="a name has at most 80 characters"):
        plan(*MOE, "baseline=null")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("arm=[]", "name one arm"),
        ("arm=1", "name one arm"),
        ("arm=nope", "there is no such arm"),
        ("baseline=nope", "there is no such arm"),
        ("training.beta2=1", "beta2=1.0 must lie in"),
        ("training.lr=inf", "not a finite number"),
        ("ffn.aux_weight=nan", "not a finite number"),
        ("device.threads=1000000", "must lie between"),
        ("workers=true", "must be auto or a number"),
        ("n_seeds=30000000", "must be at most"),
        ("seed=99999999999", "must be at most 2147483647"),
        ("headline=[{metric: a}]", "missing"),
    ],
)
def test_bad_values_are_found_before_anything_is_written(plan, tmp_path, override: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        plan("experiment=moe", override)
    assert len(str(caught.value).splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


def test_an_arm_cannot_set_what_is_the_same_for_all(plan):
    with pytest.raises(ConfigError, match="an arm cannot set n_seeds"):
        plan(*MOE, '+arms.x=["n_seeds=3"]')


def test_plugins_in_yaml_are_refused(plan, monkeypatch):
    made = planning.read_study
    monkeypatch.setattr(
        planning, "read_study", lambda c: dataclasses.replace(made(c), plugins=["os"])
    )
    with pytest.raises(ConfigError, match="plugins run code"):
        plan(*MOE)


def test_widths_are_solved_so_that_active_parameters_are_equal(plan):
    from experiments.parts.body import body_cost

    found = arms(plan(*MOE, "arm=null", "ffn.n_experts=16"))
    active = {
        name: body_cost(vars(arm.config.parts)).active_parameters
        for name, arm in found.items()
        if name != "dense_total"
    }
    assert max(active.values()) / min(active.values()) - 1 < 0.01, active
    total = {name: body_cost(vars(arm.config.parts)).parameters for name, arm in found.items()}
    assert abs(total["dense_total"] / total["moe_top2"] - 1) < 0.01


@pytest.mark.slow
def test_a_width_that_does_not_change_the_cost_is_left_alone(plan):
    for chosen in (
        ("experiment=ffn", "task=function", "arm=[relu,swiglu]"),
        (*MOE, "arm=[dense,moe_top2]"),
    ):
        made = plan(*chosen, "match.by=kv_bytes")
        free = plan(*chosen, "match.by=none")
        assert [a.config.parts.ffn.d_ff for a in made.arms] == [
            a.config.parts.ffn.d_ff for a in free.arms
        ]
        assert not any("is unmatched" in note for note in made.notes)
    arms_of = ("task=waves", "arm=[mha,mha_copy,gqa2]")
    heads = plan("experiment=gqa_vs_mha", *arms_of, "match.by=kv_bytes", "match.to=mha")
    found = arms(heads)
    assert found["mha_copy"].config.parts.ffn.d_ff == found["mha"].config.parts.ffn.d_ff
    assert found["gqa2"].config.parts.ffn.d_ff == found["mha"].config.parts.ffn.d_ff
    assert any("gqa2 is unmatched: it has 75 % fewer bytes of keys" in note for note in heads.notes)


@pytest.mark.parametrize("by", ["params", "active_params", "flops"])
def test_arms_are_matched_by_each_cost(plan, by: str):
    arms_of = ("task=function", "arm=[relu,swiglu]")
    made = plan("experiment=ffn", *arms_of, f"match.by={by}", "match.to=relu")
    relu, swiglu = (registry.costs(vars(arm.config.parts))[by] for arm in made.arms)
    assert swiglu == pytest.approx(relu, rel=0.01)


def test_a_width_set_in_an_arm_is_held_and_called_unmatched(plan):
    made = plan(*MOE, '+arms.wide=["ffn=dense","ffn.d_ff=4096"]')
    assert arms(made)["wide"].config.parts.ffn.d_ff == 4096
    assert any("arm wide is unmatched" in note for note in made.notes)


def test_a_width_on_the_command_line_sets_the_baseline(plan):
    found = arms(plan(*MOE, "ffn.d_ff=64"))
    assert found["dense"].config.parts.ffn.d_ff == 64
    assert found["moe_top2"].config.parts.ffn.d_ff < 64


def test_arms_that_wait_for_each_other_are_an_error(plan):
    with pytest.raises(ConfigError, match="are matched to each other in a circle"):
        plan(*MOE, 'arms.dense=["ffn=dense","match.to=moe_top2"]')


@pytest.mark.slow
def test_the_signature_covers_what_changes_numbers_and_nothing_else(plan):
    def signatures(*overrides: str) -> list[str]:
        return [arm.signature for arm in plan(*MOE, "arm=dense", *overrides).arms]

    base = signatures()
    for same in ("n_seeds=3", "seed=5", "workers=1", "training.checkpoint_every=7", "reuse=accept"):
        assert signatures(same) == base, same
    for other in ("training.lr=0.01", "model.n_layers=1", "task.noise=0.2", "device.threads=2"):
        assert not set(signatures(other)) & set(base), other


def every_field(plan: Plan) -> list[tuple[str, str]]:
    arm = arms(plan)["moe_top2"].config
    sections = {"training": arm.training, "device": arm.device, "options": arm.options}
    return [
        (section, f.name)
        for section, value in (sections | vars(arm.parts)).items()
        for f in dataclasses.fields(value)
        if f.metadata.get("numbers", True)
    ]


def test_every_field_of_every_section_is_signed(plan):
    made = plan(*MOE)
    arm = arms(made)["moe_top2"].config
    tree = arm.signature_tree()
    for section, name in every_field(made):
        assert name in tree[section], f"{section}.{name} is not covered by the signature"


def test_changed_data_change_the_signature(plan, tmp_path: Path):
    text = tmp_path / "notes.txt"
    text.write_text("".join(f"line {i} of a text about {i * i}\n" for i in range(4000)))
    overrides = ("experiment=moe", "arm=dense", "task=text", f"task.path={text}", "task.n_eval=8")
    first = [arm.signature for arm in plan(*overrides).arms]
    assert [arm.signature for arm in plan(*overrides).arms] == first
    text.write_text(text.read_text() + "one more line\n")
    assert not set(first) & {arm.signature for arm in plan(*overrides).arms}


def schemas() -> list[type]:
    options = [s for group in registry.group_names() for s in registry.kinds(group).values()]
    return [*options, *registry.all_options(), ModelOptions, Training, Device]


@pytest.mark.some(8)
@pytest.mark.parametrize("schema", schemas(), ids=lambda schema: schema.__name__)
def test_a_signature_changes_with_every_field_that_can_change_numbers(schema: type):
    def signature(**changed: int) -> str:
        value = object.__new__(schema)  # any values do: only whether they count is asked
        for f in dataclasses.fields(schema):
            object.__setattr__(value, f.name, changed.get(f.name, 1))
        return store.signature(
            store.signature_text({"section": signature_fields(value)}, "data", None)
        )

    for f in dataclasses.fields(schema):
        counts = f.name not in ("checkpoint_every", "memory_gib", "trials_per_gpu")
        assert (signature(**{f.name: 2}) != signature()) == counts, f.name


@pytest.mark.parametrize(("chosen", "left"), [("my_gate", False), ("moe", True)])
def test_defaults_of_a_users_preset_are_left_out_as_those_of_ours(
    hydra: None,  # noqa: ARG001
    monkeypatch,
    tmp_path: Path,
    chosen: str,
    left: bool,
):
    monkeypatch.setattr(option_folders.UserOptions, "folders", (tmp_path,))
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "my_gate_quick.yaml").write_text("task: {train_bytes: 5}")
    config = compose("config", overrides=["experiment=moe", "task=waves", "+task.train_bytes=5"])
    study = SimpleNamespace(experiment="moe", scale=Scale.quick)
    composition.drop_inapplicable_defaults(config, study, [parse_override(f"experiment={chosen}")])  # type: ignore[arg-type]
    assert ("train_bytes" in config.task) is left


def test_what_an_extended_experiment_says_of_another_option_is_left_out(
    tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ("scale=smoke", "task=waves", '+arms.n=["ffn=none","match.by=none"]', "arm=n")
    ending, made = planned_own(tmp_path, "", *words, extends="ffn")  # which has ffn.d_ff
    assert ending.message == ""
    assert made.arms[0].config.parts.ffn.kind == "none"
