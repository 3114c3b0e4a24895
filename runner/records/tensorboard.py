"""TensorBoard protocol buffers, built without torch and without tensorflow.

`torch.utils.tensorboard` imports torch (2 s), and its `add_hparams` makes a sub-run for every call.
The plugins' own `summary` modules import tensorflow. So this module builds the plugins' messages.
"""

import io
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.summary.writer.record_writer import RecordWriter

HParam = float | str | bool
HParams = Mapping[str, HParam]
MarginChart = tuple[str, str, str, str]  # title and the tags of value, lower, upper

EVENT_FILE = "events.out.tfevents.ablab"
"""The name of an event file that is written at once; TensorBoard reads names with `tfevents`."""
MAX_RUNS = 40
"""With more runs, all tabs of TensorBoard but Time Series and HParams select none of them."""
TABLE_GROUP = "~ HParams"
"""The group of the values in the HParams table. Time Series sorts it last, and collapses it."""


@dataclass(frozen=True)
class TableColumn:
    """A column of the HParams table, which holds a hyperparameter.

    Attributes:
        name: the name of the hyperparameter.
        values: its values in the rows.
        label: its name in the head of the table; by default `name`.
        is_first: whether it is among the first columns. TensorBoard shows five columns at first,
            and sorts them by name.
    """

    name: str
    values: frozenset[HParam]
    label: str = ""
    is_first: bool = False


def open_writer(folder: Path) -> EventFileWriter:
    """Open a writer with a long queue, so that a burst of events does not wait for the disk."""
    return EventFileWriter(str(folder), max_queue_size=10_000)


def event(summary: Any, step: int = 0) -> Any:
    """Return a summary as an event with the current time."""
    return event_pb2.Event(wall_time=time.time(), step=step, summary=summary)


def event_file(events: Iterable[Any]) -> bytes:
    """Return the content of an event file with these events."""
    file = io.BytesIO()
    writer = RecordWriter(file)
    for each in (event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"), *events):
        writer.write(each.SerializeToString())
    return file.getvalue()


def scalar_summary(values: Mapping[str, float]) -> Any:
    """Return one summary with a plain scalar per tag (float32 in the file)."""
    pairs = [summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
    return summary_pb2.Summary(value=pairs)


def table_tag(metric: str, part: str = "") -> str:
    """Return the tag of a value that only the HParams table shows."""
    return f"{TABLE_GROUP}/{metric} {part}".rstrip()


def text_summary(tag: str, markdown: str) -> Any:
    """Return a markdown text for TensorBoard's Text tab."""
    meta = text_metadata.create_summary_metadata(display_name=tag, description="")
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[markdown.encode("utf-8", "backslashreplace")]
    )
    return summary_pb2.Summary(
        value=[summary_pb2.Summary.Value(tag=tag, metadata=meta, tensor=tensor)]
    )


def image_summary(tag: str, png: bytes) -> Any:
    """Return an encoded PNG for the Images tab; its size is read from the PNG header."""
    width, height = struct.unpack(">II", png[16:24])
    picture = summary_pb2.Summary.Image(
        width=width, height=height, colorspace=4, encoded_image_string=png
    )
    return summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, image=picture)])


def session_start(hparams: HParams) -> Any:
    """Return the start of a row of the HParams table. The row has the name of its run."""
    return summary_v2.hparams_pb(
        {_encodable(name): _encodable(value) for name, value in hparams.items()}, trial_id=""
    )


def session_end(*, success: bool) -> Any:
    """Return the end of a row of the HParams table."""
    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    value = summary_pb2.Summary.Value(
        tag=hparams_metadata.SESSION_END_INFO_TAG,
        metadata=hparams_metadata.create_summary_metadata(data),
        tensor=hparams_metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])


def hparams_table(columns: Iterable[TableColumn], metrics: Mapping[str, str]) -> Any:
    """Return the declaration of the HParams table: its columns, and its metrics as tag -> label.

    TensorBoard reads it from one run, and does not specify which. So one run below a folder has it.
    """
    experiment = api_pb2.Experiment(
        hparam_infos=map(_hparam_info, columns),
        metric_infos=[
            api_pb2.MetricInfo(
                name=api_pb2.MetricName(tag=_encodable(tag)), display_name=_encodable(label)
            )
            for tag, label in metrics.items()
        ],
    )
    data = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    value = summary_pb2.Summary.Value(
        tag=hparams_metadata.EXPERIMENT_TAG,
        metadata=hparams_metadata.create_summary_metadata(data),
        tensor=hparams_metadata.NULL_TENSOR,
    )
    return summary_pb2.Summary(value=[value])


def _hparam_info(column: TableColumn) -> Any:
    info = api_pb2.HParamInfo(
        name=_encodable(column.name),
        display_name=_encodable(column.label or column.name),
        differs=column.is_first,
    )
    types = {type(value) for value in column.values}
    # Without a type, a column has no filter. Values of several types cannot be filtered by one.
    if types and types <= {int, float}:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        info.domain_interval.min_value = min(column.values)
        info.domain_interval.max_value = max(column.values)
    elif types in ({bool}, {str}):
        info.type = api_pb2.DATA_TYPE_BOOL if types == {bool} else api_pb2.DATA_TYPE_STRING
        info.domain_discrete.extend(sorted(map(_encodable, column.values)))
    return info


def _encodable(value: Any) -> Any:
    """Return a value with all characters of a text that UTF-8 lacks as escapes."""
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def margin_layout(categories: Mapping[str, Iterable[MarginChart]]) -> Any:
    """Return the Custom Scalars tab: charts with a shaded band, grouped by category."""
    layout = layout_pb2.Layout()
    for title, charts in categories.items():
        category = layout.category.add(title=title)
        for chart, value, lower, upper in (map(_encodable, texts) for texts in charts):
            margin = layout_pb2.MarginChartContent.Series(value=value, lower=lower, upper=upper)
            category.chart.add(title=chart, margin=layout_pb2.MarginChartContent(series=[margin]))
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[layout.SerializeToString()]
    )
    value_proto = summary_pb2.Summary.Value(
        tag=layout_metadata.CONFIG_SUMMARY_TAG,
        metadata=layout_metadata.create_summary_metadata(),
        tensor=tensor,
    )
    return summary_pb2.Summary(value=[value_proto])
