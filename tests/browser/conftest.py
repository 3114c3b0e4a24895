"""One Chromium for all tests of a process; without one on the machine they are skipped."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import MISSING, Chromium, find_chromium


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Start Chromium without CJK fonts."""
    if find_chromium() is None:
        pytest.skip(MISSING)
    with Chromium() as started:
        yield started


@pytest.fixture(scope="session")
def chromium_with_cjk_fonts() -> Iterator[Chromium]:
    """Start Chromium with all fonts of the machine."""
    if find_chromium() is None:
        pytest.skip(MISSING)
    with Chromium(cjk_fonts=True) as started:
        yield started
