"""TensorBoard's own application over a folder, in this process, asked as a browser asks it."""

import json
import warnings
from pathlib import Path
from typing import Any

from werkzeug.test import Client

STATUSES = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
HPARAMS = "/data/plugin/hparams/"


class TensorBoardApp:
    """The answers of `tensorboard --logdir <folder>`, with everything in the folder loaded."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources is deprecated
            from tensorboard import default, program
            from tensorboard.backend import application
            from tensorboard.backend.event_processing.data_ingester import LocalDataIngester
        plugins = default.get_plugins()
        board = program.TensorBoard(plugins)
        once = ["--load_fast", "false", "--reload_task", "blocking", "--reload_interval", "0"]
        board.configure(["tensorboard", "--logdir", str(folder), *once])
        ingester = LocalDataIngester(board.flags)
        ingester.start()
        app = application.TensorBoardWSGIApp(
            board.flags,
            board.plugin_loaders,
            ingester.data_provider,
            deprecated_multiplexer=ingester.deprecated_multiplexer,
        )
        self._client = Client(app)

    def ask(self, path: str, request: dict[str, Any] | None = None) -> Any:
        """Return the JSON that TensorBoard answers; with a request, it is posted."""
        answer = self._client.post(path, json=request) if request else self._client.get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return json.loads(answer.get_data(as_text=True))

    def runs(self) -> list[str]:
        """Return the names of the runs."""
        return sorted(self.ask("/data/runs"))

    def columns(self) -> dict[str, str]:
        """Return the columns of the HParams table, in order: name -> the label that is shown."""
        infos = self._experiment().get("hparamInfos", [])
        return {info["name"]: info["displayName"] for info in infos}

    def metrics(self) -> dict[str, str]:
        """Return the metrics of the HParams table, in order: tag -> the label that is shown."""
        infos = self._experiment()["metricInfos"]
        return {info["name"]["tag"]: info["displayName"] for info in infos}

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return the rows of the HParams table by name: hyperparameters, and metrics by tag."""
        request = {
            "experimentName": "",
            "allowedStatuses": STATUSES,
            "colParams": [],
            "startIndex": 0,
            "sliceSize": 10_000,
        }
        groups = self.ask(f"{HPARAMS}session_groups", request).get("sessionGroups", [])
        return {
            group["name"]: group["hparams"]
            | {m["name"]["tag"]: m["value"] for m in group.get("metricValues", [])}
            for group in groups
        }

    def layout(self) -> dict[str, list[dict[str, Any]]]:
        """Return the charts of the Custom Scalars tab, by category."""
        layout = self.ask("/data/plugin/custom_scalars/layout")
        return {category["title"]: category["chart"] for category in layout.get("category", [])}

    def tags(self, plugin: str = "scalars") -> dict[str, set[str]]:
        """Return the tags of each run in one tab."""
        return {
            run: set(tags) for run, tags in self.ask(f"/data/plugin/{plugin}/tags").items() if tags
        }

    def texts(self) -> dict[str, str]:
        """Return the texts of the root run as HTML, by tag."""
        tags = self.tags("text").get(".", ())
        return {tag: self.ask(f"/data/plugin/text/text?run=.&tag={tag}")[0]["text"] for tag in tags}

    def _experiment(self) -> Any:
        return self.ask(f"{HPARAMS}experiment", {"experimentName": ""})
