"""Arms are told apart by colour, line and marker, and copies stand apart from arms under study."""

from itertools import combinations

import numpy as np
import pytest

from runner.figures.canvas import PALETTE
from runner.figures.data import Records
from runner.figures.styles import APART_TITLE, HueStyles
from tests.support.drawing import draw_figure
from tests.support.sample_study import ARMS, make_history, make_results

MANY = [f"arm{i}" for i in range(24)]


@pytest.fixture(scope="module")
def records() -> Records:
    copies = frozenset({"moe_top2_copy"})
    return Records(make_results(), make_history(), list(ARMS), apart=copies)


def contrast_with_white(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(1.05 / (linear @ (0.2126, 0.7152, 0.0722) + 0.05))


def test_no_two_arms_share_colour_and_line() -> None:
    styles = HueStyles(MANY)
    assert len({(styles.colour(arm), styles.line_style(arm)) for arm in MANY}) == len(MANY)


def test_twelve_arms_have_twelve_colours_and_twelve_markers() -> None:
    styles = HueStyles(MANY[:12])
    for value in (styles.colour, styles.marker):
        assert len({value(arm) for arm in MANY[:12]}) == 12


def test_colours_that_differ_little_have_different_lines() -> None:
    styles = HueStyles(MANY[:12])
    for a, b in combinations(MANY[:12], 2):
        one, other = (
            np.array([int(styles.colour(arm)[i : i + 2], 16) for i in (1, 3, 5)]) for arm in (a, b)
        )
        if np.linalg.norm(one - other) < 60:
            assert styles.line_style(a) != styles.line_style(b)


def test_a_page_has_the_colours_of_the_figures() -> None:
    styles = HueStyles(list(ARMS))
    for i, arm in enumerate(ARMS):
        assert styles.colour(arm) == PALETTE[i % len(PALETTE)]


def test_text_in_an_arms_colour_is_readable() -> None:
    styles = HueStyles(MANY[:12])
    assert min(contrast_with_white(styles.colour(arm)) for arm in MANY[:12]) < 4.5
    assert all(contrast_with_white(styles.ink(arm)) >= 4.49 for arm in MANY[:12])


def test_a_copy_is_dotted_hollow_and_last(records: Records) -> None:
    figure = draw_figure(records, kind="curve", metric="val/loss")
    means = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 2]
    assert [line.get_linestyle() for line in means][-1] == ":"
    assert ":" not in [line.get_linestyle() for line in means][:-1]
    assert means[-1].get_markerfacecolor() == "white"


def test_a_legend_has_the_copies_in_a_row_of_their_own(records: Records) -> None:
    figure = draw_figure(
        records,
        kind="curve",
        metric="moe/load/layer{layer}/expert0",
        panel=["layer"],
    )
    studied, apart = ([text.get_text() for text in legend.get_texts()] for legend in figure.legends)
    assert "moe_top2_copy" not in studied
    assert apart == [APART_TITLE, "moe_top2_copy"]


def test_no_two_arms_share_colour_and_marker() -> None:
    arms = [f"arm{i}" for i in range(100)]
    styles = HueStyles(arms)
    assert len({(styles.colour(arm), styles.marker(arm)) for arm in arms}) == len(arms)
