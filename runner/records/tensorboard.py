"""TensorBoard protocol buffers, built without torch and without tensorflow.

`torch.utils.tensorboard` imports torch (2 s), and its `add_hparams` makes a sub-run for every call.
The plugins' own `summary` modules import tensorflow. So this module builds the plugins' messages.
"""

import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

HParams = Mapping[str, float | str | bool]
MarginChart = tuple[str, str, str, str]  # title and the tags of value, lower, upper


def open_writer(folder: Path) -> EventFileWriter:
    """Open a writer with a long queue, so that a burst of events does not wait for the disk."""
    return EventFileWriter(str(folder), max_queue_size=10_000)


def event(summary: Any, step: int = 0) -> Any:
    """Return a summary as an event with the current time."""
    return event_pb2.Event(wall_time=time.time(), step=step, summary=summary)


def scalar_summary(values: Mapping[str, float]) -> Any:
    """Return one summary with a plain scalar per tag (float32 in the file)."""
    pairs = [summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
    return summary_pb2.Summary(value=pairs)


def text_summary(tag: str, markdown: str) -> Any:
    """Return a markdown text for TensorBoard's Text tab."""
    meta = text_metadata.create_summary_metadata(display_name=tag, description="")
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=[markdown.encode("utf-8", "backslashreplace")]
    )
    tensor.tensor_shape.dim.add().size = 1
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


def session_start(hparams: HParams, group: str) -> Any:
    """Return the start of a row of the HParams table; sessions of one group share a row."""
    return summary_v2.hparams_pb(dict(hparams), trial_id=group)


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


def hparams_table(columns: Iterable[str], metrics: Mapping[str, str]) -> Any:
    """Return the declaration of the HParams table: its columns, and its metrics as tag -> label.

    The root folder gets it once.
    """
    return summary_v2.hparams_config_pb(
        hparams=[summary_v2.HParam(column) for column in columns],
        metrics=[summary_v2.Metric(tag, display_name=name) for tag, name in metrics.items()],
    )


def margin_layout(categories: Mapping[str, Iterable[MarginChart]]) -> Any:
    """Return the Custom Scalars tab: charts with a shaded band, grouped by category."""
    layout = layout_pb2.Layout()
    for title, charts in categories.items():
        category = layout.category.add(title=title)
        for chart, value, lower, upper in charts:
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
