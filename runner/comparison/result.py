"""The result of `runner.compare`: the answer, verdicts and files of one run folder."""

import base64
import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.figures.figure import DIFFERENCES

if TYPE_CHECKING:
    import pandas as pd

FIGURES_SHOWN = 4  # in a notebook; the report has all


@dataclass(frozen=True)
class Comparison:
    """The results of a study, read from its run folder.

    In a notebook it shows the answer and the first figures.

    Attributes:
        folder: the run folder.
    """

    folder: Path

    @property
    def report(self) -> Path:
        """The page with all results, report.html."""
        return self.folder / "report.html"

    @property
    def answer(self) -> str:
        """The answer in sentences, as in answer.json."""
        return str(self._read("answer.json")["sentence"])

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """The verdicts, a dict each; none after a smoke run.

        First those on the arms, one for each arm and headline metric. `verdict` is better, worse,
        different, not distinguished or undecided. Other keys are `arm`, `baseline`, `metric`,
        `unit`, the mean `difference` with its 95 % interval (`low`, `high`), `p` and `n`, the
        number of paired seeds.

        Then those on the claims that `overrides` add: `id`, `verdict`, `reason`, and all other keys
        of verdicts.json.
        """
        arms = [
            {**one, "verdict": one["standing"]} for one in self._read("answer.json")["headlines"]
        ]
        return arms + list(self._read("verdicts.json"))

    @property
    def table(self) -> "pd.DataFrame":
        """The comparison of every arm with the baseline in every metric, as in comparison.csv."""
        import pandas as pd

        return pd.read_csv(self.folder / "comparison.csv")

    @property
    def figures(self) -> list[Path]:
        """The figures of the report as PNG files; the first one compares the arms."""
        return sorted(
            (self.folder / "figures").glob("*.png"),
            key=lambda path: (path.stem != DIFFERENCES, path.stem),
        )

    def _read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}): {self.answer}"

    def _repr_html_(self) -> str:
        """Return the answer and the first figures as HTML that loads nothing."""
        images = [
            f'<p><img alt="{html.escape(path.stem)}" style="max-width: 100%" '
            f'src="data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"></p>'
            for path in self.figures[:FIGURES_SHOWN]
        ]
        more = f"<p>All results: <code>{html.escape(str(self.report))}</code></p>"
        return "\n".join([f"<p>{html.escape(self.answer)}</p>", *images, more])
