"""The timing loop and peak memory, on work whose size is known."""

import time

import pytest
import torch

from runner.trial import measure


def test_samples_are_raw_one_a_round_and_in_proportion():
    calls: list[str] = []

    def waits(name: str, seconds: float):
        def function() -> None:
            calls.append(name)
            time.sleep(seconds)

        return function

    functions = {"short": waits("short", 0.002), "long": waits("long", 0.02)}
    samples = measure.time_interleaved(functions, rounds=5, warmup=1, seed=1)
    assert {name: len(values) for name, values in samples.items()} == {"short": 5, "long": 5}
    assert min(samples["long"]) > max(0.02, min(samples["short"]))
    rounds = [calls[i : i + 2] for i in range(2, len(calls), 2)]  # after the warm-up
    assert all(sorted(pair) == ["long", "short"] for pair in rounds)
    assert len({tuple(pair) for pair in rounds}) == 2  # not always in the same order


def test_a_quick_function_is_called_often_enough():
    calls = 0

    def quick() -> None:
        nonlocal calls
        calls += 1

    samples = measure.time_interleaved({"quick": quick}, rounds=2, min_seconds=0.001)
    assert calls > 50
    assert max(samples["quick"]) < 0.001
    with pytest.raises(ValueError, match="rounds=0"):
        measure.time_interleaved({"quick": quick}, rounds=0)


@pytest.mark.skipif(not measure.can_measure_peak(), reason="peak memory needs Linux")
def test_peak_memory_is_that_of_the_call():
    def prepare():
        ones = torch.ones(2**22)  # 16 MiB that existed before do not count

        def function() -> torch.Tensor:
            return (ones[: 2**20] + torch.ones(2**23)[: 2**20]).sum()  # 32 MiB and a little

        return function

    assert measure.peak_mib(prepare) == pytest.approx(36, abs=6)


@pytest.mark.skipif(not measure.can_measure_peak(), reason="peak memory needs Linux")
def test_a_process_that_fails_is_an_error(capfd):
    def prepare():
        raise MemoryError("planted")

    with pytest.raises(RuntimeError, match="exit code 1"):
        measure.peak_mib(prepare)
    assert "planted" in capfd.readouterr().err
