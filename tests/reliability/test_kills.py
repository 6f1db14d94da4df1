"""Drivers and workers are killed at moments drawn from a seed; nothing is lost, nothing runs
twice.
"""

import os
import signal
import time

import pytest
from harm import ended, kill, replayable, wait_for
from plans import make_small_plan

MORE_ROUNDS = [
    pytest.param(2, marks=pytest.mark.slow),
    pytest.param(20, marks=pytest.mark.nightly),
]
PACE = {
    1: {"steps": 8, "pause": 0.05},
    2: {"steps": 8, "pause": 0.05},
    20: {"steps": 14, "pause": 0.1},
}
"""Work that outlasts the rounds."""


def grid_for(rounds, make_grid):
    """A grid that is not finished before the rounds are over."""
    grid = make_grid(sets=4, evaluations=2) if rounds == 1 else make_grid()
    grid.behave(PACE[rounds])
    return grid


# One kill of the driver is in the quick suite too: tests/test_quickstart.py.
@pytest.mark.parametrize("rounds", [pytest.param(1, marks=pytest.mark.slow), *MORE_ROUNDS])
def test_the_driver_is_killed_at_random_moments(make_grid, rounds):

    grid = grid_for(rounds, make_grid)
    lost, again, killed = 0, 0, 0
    with replayable("driver", rounds) as draw:
        for number in range(rounds):
            before, lines = grid.look(), len(grid.log())
            process = grid.drive()
            if number == 0:  # one at least in the middle of a unit
                wait_for(
                    lambda: list(grid.store.root.glob("checkpoints/*/*/[!.]*")),
                    "a checkpoint is there",
                )
            elif draw.random() < 0.75:
                wait_for(lambda lines=lines: len(grid.log()) > lines, "a unit starts")
                time.sleep(draw.uniform(0.0, 2.0))
            else:
                time.sleep(draw.uniform(0.5, 6.0))
            assert process.poll() is None, (
                "the grid was finished before the rounds were over: make it longer"
            )
            killed += kill(
                process.pid, session=number % 2 == 0
            )  # with its workers, or they find out by themselves
            process.wait()
            time.sleep(draw.choice([0.0, 0.5]))
            lost += len(before - grid.look())
            again += len(before & {line[1] for line in grid.log()[lines:] if line[0] == "start"})
        before, lines = grid.look(), len(grid.log())
        assert grid.finish() == 0, grid.output[-3000:]
        again += len(before & {line[1] for line in grid.log()[lines:] if line[0] == "start"})
        grid.check()
        resumed = [int(line[3]) for line in grid.log() if line[0] == "resume"]
        assert (killed, lost, again) == (rounds, 0, 0)
        assert resumed and all(resumed), "no unit was caught in the middle: choose another seed"
    print(
        f"driver kills: {killed}; units lost: {lost}; done units started again: {again}; resumed:"
        f" {len(resumed)}"
    )


@pytest.mark.parametrize("rounds", MORE_ROUNDS)
def test_workers_are_killed_at_random_moments(make_grid, rounds):

    grid = grid_for(rounds, make_grid)
    victims = []
    with replayable("worker", rounds) as draw:
        process = grid.drive()
        while len(victims) < rounds:
            wait_for(lambda: grid.running() or process.poll() is not None, "a unit runs")
            if victims:
                time.sleep(draw.uniform(0.0, 0.8))
            assert process.poll() is None, (
                "the grid was finished before the rounds were over: make it longer"
            )
            spared = {
                key for key in victims if victims.count(key) == 2
            }  # of the third death a unit fails
            running = {key: pid for key, pid in grid.running().items() if key not in spared}
            if not victims:  # one at least in the middle of a unit
                begun = {path.parent.name for path in grid.store.root.glob("checkpoints/*/*/[!.]*")}
                running = {key: pid for key, pid in running.items() if key in begun}
            if running:
                key = draw.choice(sorted(running))
                victims += [key] * kill(running[key])
                time.sleep(0.3)
        assert ended(process) == 0, grid.output[-3000:]
        grid.check()
        starts = grid.events("start")
        resumed = [line for line in grid.log() if line[0] == "resume"]
        assert len(starts) <= len(grid.plan.units) + len(victims) and resumed
    repeats = len(starts) - len(grid.plan.units)
    print(
        f"worker kills: {len(victims)}; second starts: {repeats}; resumed from a checkpoint:"
        f" {len(resumed)}"
    )


@pytest.mark.parametrize(
    "sizes",
    [
        [(4, 2), (2, 3)],
        pytest.param([(12, 4), (12, 4), (5, 6)], marks=pytest.mark.slow),
    ],
    ids=["two", "three"],
)
def test_launches_on_one_store_share_the_work(make_grid, sizes):
    """Launches of equal and of overlapping grids at once start no unit twice."""
    sets, evaluations = sizes[0]
    grid = make_grid(sets=sets, evaluations=evaluations)
    grid.behave({"steps": 4, "pause": 0.02})
    launches = [grid.drive(*size) for size in sizes]
    assert [ended(process) for process in launches] == [0] * len(sizes), grid.output[-3000:]
    units = {}
    for sets, evaluations in sizes:
        units |= make_small_plan(sets=sets, evaluations=evaluations).units
    assert len(units) > len(grid.plan.units)
    assert sorted(grid.events("start")) == sorted(units), "a unit was started twice"
    grid.check(units)


@pytest.mark.slow
def test_ctrl_c_twice_stops_at_once_and_the_next_launch_continues(make_grid):

    grid = make_grid(sets=2, evaluations=1)
    grid.behave({"steps": 2, "pause": 3600.0})
    process = grid.drive()
    wait_for(lambda: grid.events("start"), "a unit starts")
    os.kill(process.pid, signal.SIGINT)
    wait_for(lambda: "Ctrl-C again stops at once" in grid.output, "the first Ctrl-C is told")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(300) == 130  # long before a step ends
    assert "same command again" in grid.output and grid.store.find_done_keys() == frozenset()
    grid.behave({"steps": 2})
    assert grid.finish() == 0
    grid.check()
