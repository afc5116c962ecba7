"""Latency measured on this machine: plausible, repeatable in form, and without side effects."""

import pytest
import torch

from effnet.budget import Budget, fit
from effnet.errors import InputError
from effnet.families import find
from effnet.inference.comparing import measurer
from effnet.inference.latency import LatencyMeasurement, measure_latency, network_runner, stopwatch, take_turns
from effnet.inference.memory import measure_memory
from effnet.spec import NetworkSpec

SMALL = find("lite0").replace(resolution=32)


def test_a_measurement_says_what_it_holds_for() -> None:
    measured = measure_latency(SMALL, batch=2, threads=1, repeats=4, warmup=1, device="cpu")
    assert 0 < measured.low_ms <= measured.median_ms <= measured.high_ms
    assert (measured.runs, measured.resolution, measured.batch, measured.threads) == (4, 32, 2, 1)
    assert measured.device == "cpu"
    assert torch.__version__ in measured.machine
    assert str(measured).startswith(f"{measured.median_ms:.1f} ms")


def test_more_work_takes_longer() -> None:
    small = measure_latency(SMALL, 32, threads=1, repeats=5, device="cpu")
    large = measure_latency(SMALL, 224, threads=1, repeats=5, device="cpu")
    assert large.low_ms > small.low_ms


def test_threads_and_random_numbers_are_left_as_they_were() -> None:
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    measure_latency(SMALL, threads=threads + 1, repeats=1, warmup=0, device="cpu")
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)


def test_slow_networks_run_fewer_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effnet.inference.latency._PATIENCE_S", 0.0)
    assert measure_latency(SMALL, repeats=50, device="cpu").runs == 3


@pytest.mark.parametrize(
    "arguments",
    [{"resolution": 0}, {"batch": 0}, {"repeats": 0}, {"threads": 0}, {"threads": 1.5}, {"device": "quux"}],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        measure_latency(SMALL, **arguments)  # type: ignore[arg-type]


def test_a_budget_is_kept_by_the_clock_of_this_machine() -> None:
    seen: list[tuple[NetworkSpec, LatencyMeasurement]] = []
    clock = stopwatch(threads=1, device="cpu", report=lambda spec, measured: seen.append((spec, measured)))
    limit_ms = 20 * clock(SMALL)  # generous: the machine may be busy
    found = fit(Budget(max_params=6_000_000, max_latency_ms=limit_ms), SMALL, latency=clock)
    assert found.latency_ms is not None
    assert found.latency_ms <= limit_ms
    assert found.latency_ms in [measured.median_ms for _, measured in seen]


def test_runners_take_turns_after_a_warm_up() -> None:
    ran: list[str] = []
    told: list[tuple[int, int]] = []
    runs = take_turns(
        [lambda: ran.append("a"), lambda: ran.append("b")],
        rounds=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert "".join(ran) == "aabb" + 4 * "ab"
    assert [len(mine) for mine in runs] == [4, 4]
    assert told == [(done, 5) for done in range(1, 6)]


def test_a_network_runs_at_its_own_resolution_and_takes_longer_when_large() -> None:
    small, large = (network_runner(SMALL.replace(resolution=side), 1, torch.device("cpu")) for side in (32, 256))
    quick, slow = take_turns([small, large], rounds=5)
    assert min(slow) > min(quick)


def test_a_slow_one_leaves_the_rounds_after_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("effnet.inference.latency._TURN_S", 0.0)
    assert [len(mine) for mine in take_turns([lambda: None], rounds=9)] == [3]


@pytest.mark.parametrize("arguments", [{"rounds": 0}, {"batch": 0}, {"threads": 0}, {"device": "quux"}])
def test_impossible_turns_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        measurer(**arguments)  # type: ignore[arg-type]


def test_memory_grows_with_the_images() -> None:
    small, large = (measure_memory(SMALL.replace(resolution=side), threads=1, device="cpu") for side in (32, 384))
    if small is None or large is None:
        pytest.skip("this system does not tell")
    assert large > small > 4 * 4_652_008, "no less than the weights"
