"""`runner.compare`: a study from Python."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir

from runner import registry
from runner.comparison import builders, command, parts, stored_sources
from runner.comparison.notes import notes_on_unmatched_arms
from runner.comparison.request import Request, check_names, read_request
from runner.comparison.result import Comparison
from runner.comparison.session import study_session
from runner.config import ConfigError, PlanMode, StudyError
from runner.invocation import run_study
from runner.plan import arguments, error_messages, option_folders, user_options
from runner.plan.plan import Plan

if TYPE_CHECKING:
    from torch import nn


def compare(
    arms: "Mapping[str, str | type[nn.Module] | Callable[..., nn.Module] | Sequence[Any]]",
    *,
    group: str,
    task: str,
    experiment: str | None = None,
    baseline: str | None = None,
    match: str = "none",
    n_seeds: int = 8,
    scale: str = "quick",
    outputs: str | Path = "outputs",
    overrides: Sequence[str] = (),
) -> Comparison:
    """Train arms that differ in one part under the same seeds, compare them, and write the report.

    Example:
        >>> import runner
        >>> study = runner.compare(
        ...     {"relu": "ffn=relu", "wide": ["ffn=relu", "ffn.d_ff=96"]},
        ...     group="ffn", task="domains", n_seeds=3,
        ... )  # doctest: +SKIP
        >>> study.answer  # doctest: +SKIP
        'wide has a lower held-out loss than relu ...'

    Args:
        arms: name -> arm. An arm is one of these:

            - an option: "ffn=relu". A list has several overrides: ["ffn=relu", "ffn.d_ff=96"];
            - a class of modules. It is called with the width of the stream, as `MyNet(d_model)`.
              For group="model" it is called with the number of token ids, as `MyModel(vocabulary)`;
            - a function of the same argument that returns a module;
            - a list of overrides and one class or function: [MyFeedForward, "training.lr=1e-3"].

            All other arguments of a class or function need defaults. Keyword arguments with whole
            numbers as defaults become options: `hidden=256` becomes `ffn.hidden`. A name with
            another meaning in ablab gets `n_` in front, such as `n_heads` for `heads`.

            A module of `ffn`, `attention` or `norm` maps x of shape (batch, time, d_model) to the
            same shape. A model maps token ids (batch, time) to logits (batch, time, vocabulary),
            or to a tuple or another sequence that begins with them.
        group: the part that differs: "ffn", "attention", "norm" or "model".
        task: the option of the task, e.g. "domains" or "text".
        experiment: the experiment whose page trains and measures. By default it is `ffn`,
            `gqa_vs_mha` for attention, `norm_stability` for norms, and `compare` for models.
        baseline: the arm that the others are compared with; by default the first one.
        match: the cost that all arms share with the baseline: "params", "active_params", "flops",
            "kv_bytes", or "none". The first whole-number argument of a class is set so that the
            costs are equal. For an option, `ffn.d_ff` is set: with the groups attention and norm,
            the widths of the feed-forward networks then differ. For an option of a whole language
            model, its own `d_ff` or its first whole number is set.
        n_seeds: the number of seeds; each arm is trained once per seed.
        scale: "smoke" (it only shows that everything runs), "quick" or "full".
        outputs: the folder of trials and reports, relative to the current folder.
        overrides: more overrides of the command line, e.g. ["training.steps=1000"].

    Returns:
        The results. A second call with the same arguments reuses all trials. With
        overrides=["plan=only"] the plan is printed, nothing is computed, and the result is None.

    Raises:
        ConfigError: an argument is not valid. It is a ValueError with one clear line, and nothing
            is computed.
        StudyError: a trial failed. Its attribute `study` has the results of all other trials.
        KeyboardInterrupt: Ctrl-C. Finished trials are kept, and the same call resumes them.
    """
    try:
        request = read_request(
            arms,
            group=group,
            task=task,
            experiment=experiment,
            baseline=baseline,
            match=match,
            n_seeds=n_seeds,
            scale=scale,
            outputs=outputs,
            overrides=overrides,
        )
        with study_session() as folder:
            # None only where the user asks for it
            return _compute(request, folder)  # type: ignore[return-value]
    except ConfigError as error:
        raise ConfigError(error_messages.format_config_error(error)) from None
    except StudyError as error:
        raise _with_results(error) from error.__cause__


def _compute(request: Request, folder: Path) -> Comparison | None:
    """Compute the study of a request; `folder` is on the import path and holds its modules.

    It returns None for `plan=only`.
    """
    user_options.load_user_options(None, request.plugins)
    check_names(request)
    group = builders.GROUPS.get(request.group, request.group)
    generated = parts.generate_parts(request.arms, request.group, registry.kinds(group))
    parts.write_files(folder, generated.values())
    overrides = command.list_overrides(request, generated)
    modules = stored_sources.find_imported_sources(generated.values())
    files, left_out = stored_sources.read_sources(list(generated.values()), modules)
    sources = None
    if generated:
        folders = Path(request.outputs) / request.experiment / stored_sources.FOLDER
        sources = folders / stored_sources.digest_of(files)
    line = command.format_call_as_command(request, overrides, sources, modules)

    def store_sources(plan: Plan) -> None:
        plan.notes.extend(notes_on_unmatched_arms(plan, request, generated))
        plan.notes.extend(stored_sources.note_on_left_out(left_out))
        if sources is not None and plan.study.plan is not PlanMode.only:
            stored_sources.write_sources(sources, files)

    checked = arguments.check_arguments(overrides)
    # Hydra reads the folders of the plug-ins that are imported before it is set up.
    with initialize_config_dir(str(option_folders.CONF), version_base="1.3"):
        try:
            config = compose("config", overrides=checked)
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(error_messages.explain(error, planning=True)[0]) from None
        finished = run_study(config, checked, line, on_plan=store_sources)
    return None if finished.folder is None else Comparison(finished.folder)


def _with_results(error: StudyError) -> StudyError:
    """Return an error with the message for users, and the results of the trials that are done."""
    explained = StudyError(error_messages.explain(error)[0])
    explained.folder = error.folder
    explained.study = None if error.folder is None else Comparison(error.folder)
    return explained
