"""The cache of syntax changes no code hash, whatever its file holds."""

from pathlib import Path

import pytest

from runner.records import module_source, private_folders, syntax_cache
from runner.records.syntax_cache import SyntaxCache

SOURCE = b'import torch\nfrom . import other\nNAME = "kernel.cu"\n'
PATH = Path("package/module.py")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch):
    """Return a function that forgets everything that is not on disk."""

    def forget() -> SyntaxCache:
        module_source._read.cache_clear()
        cache = SyntaxCache(Path(module_source.__file__), "settings")
        monkeypatch.setattr(module_source, "CACHE", cache)
        return cache

    syntax_cache._path().unlink(missing_ok=True)
    yield forget
    module_source._read.cache_clear()


def read():
    return module_source._read(SOURCE, PATH, "package")


def test_a_cached_module_is_read_without_parsing(fresh, monkeypatch):
    cache = fresh()
    parsed = read()
    cache.save()
    fresh()
    monkeypatch.setattr(module_source, "_Walk", lambda *_: pytest.fail("it is in the cache"))
    assert read() == parsed


def test_other_content_packages_and_settings_have_other_entries(fresh):
    cache = fresh()
    keys = {
        cache.key(SOURCE, "package"),
        cache.key(SOURCE, "other"),
        cache.key(SOURCE + b"\n", "package"),
        SyntaxCache(Path(module_source.__file__), "others").key(SOURCE, "package"),
        SyntaxCache(Path(syntax_cache.__file__), "settings").key(SOURCE, "package"),
    }
    assert len(keys) == 5


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"KEY": 3}', '{"KEY": ["a", [[1, 2, 3, 4]], []]}']
)
def test_a_damaged_cache_costs_time_only(fresh, content: str):
    cache = fresh()
    parsed = read()
    syntax_cache._path().write_text(content.replace("KEY", cache.key(SOURCE, "package")))
    again = fresh()
    assert read() == parsed
    again.save()
    fresh()
    assert read() == parsed


def test_without_a_private_folder_modules_are_parsed(fresh, monkeypatch):
    def refuse() -> Path:
        raise PermissionError("open to others")

    monkeypatch.setattr(private_folders, "lock_folder", refuse)
    cache = fresh()
    parsed = read()
    cache.save()
    fresh()
    assert read() == parsed
