"""A grid of small units, processes that compute it, harm done to them from a seed, and what must
hold in the end.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from plans import make_small_plan

from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.store.store import DONE, ROWS
from orchestrator.store.verification.verify import verify
from orchestrator.units import KINDS

SEED = int(os.environ.get("IID_HARM_SEED", "20250131"))
SETS, EVALUATIONS = 12, 4
MARKS_OF_AN_ATTEMPT = frozenset({"run", "finished", "versions", "git_commit", "device"})
"""Columns in which two computations of the same unit may differ."""
COSTS = frozenset({"seconds", "seconds_per_iteration", "peak_memory"})
DRIVER = Path(__file__).parents[2] / "orchestrator" / "harness" / "driver.py"


@contextmanager
def replayable(*identity):
    """Give random numbers from the seed, and name the seed in the message of a failure."""
    try:
        yield random.Random(" ".join(map(str, (SEED, *identity))))
    except BaseException as error:
        error.add_note(f"replay with IID_HARM_SEED={SEED} ({', '.join(map(str, identity))})")
        raise


@dataclass
class Grid:
    """One store, the plan of a grid of 61 units (1 extractor, 12 sets, 48 evaluations), and its
    processes.
    """

    folder: Path
    sets: int = SETS
    evaluations: int = EVALUATIONS
    seen: dict = field(default_factory=dict)
    """State of each `DONE` when it was first seen."""

    def __post_init__(self):
        self.store, self.data = open_store(self.folder / "store"), self.folder / "data"
        self.data.mkdir(parents=True)
        (self.data / "log").touch()
        (self.folder / "output").touch()
        self.plan = make_small_plan(sets=self.sets, evaluations=self.evaluations)
        self.behave()

    def behave(self, default=None, **by_key):
        """Tell the runner how all units behave, and single ones by key."""
        path = self.data / "behavior.json"
        path.with_suffix(".new").write_text(json.dumps({"default": default or {}, **by_key}))
        path.with_suffix(".new").replace(path)

    def drive(self, sets=None, evaluations=None):
        """Launch the grid in a process group of its own."""
        sizes = (str(sets or self.sets), str(evaluations or self.evaluations))
        with (self.folder / "output").open("a") as output:
            return subprocess.Popen(
                [sys.executable, str(DRIVER), str(self.store.root), str(self.data), *sizes],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self):
        """What all launches printed."""
        return (self.folder / "output").read_text()

    def log(self):
        """What the runner noted: [event, key, pid, value] each."""
        return [line.split(" ") for line in (self.data / "log").read_text().splitlines()]

    def events(self, event):
        """The keys to which something happened, in order."""
        return [line[1] for line in self.log() if line[0] == event]

    def running(self):
        """Process of each unit that has started and not ended, as far as the log and the system
        tell.
        """
        last = {}
        for event, key, pid, *_ in self.log():
            last[key] = (event, int(pid))
        return {key: pid for key, (event, pid) in last.items() if event != "end" and _runs(pid)}

    def finish(self, seconds=300):
        """Launch the grid until its end; return its exit code."""
        return ended(self.drive(), seconds)

    # What must hold

    def look(self):
        """See what is done; what was done before is untouched, and nobody has started it again."""
        for key in self.store.find_done_keys():
            state = (self.store.fetch_folder(key) / DONE).stat()
            now = (state.st_ino, state.st_mtime_ns)
            assert self.seen.setdefault(key, now) == now, f"unit {key} was finished twice"
        return frozenset(self.seen)

    def check(self, units=None):
        """See that every unit is done once, with its result without harm, and that nothing else is
        there.
        """
        units = units or self.plan.units
        assert self.look() == set(units)
        seen = verify(self.store)
        assert seen.findings == (), seen.findings
        rows = Counter()
        for table in tables.SCHEMAS:
            rows.update(tables.read(self.store.tables, table)["key"].to_pylist())
        assert rows == Counter(dict.fromkeys(units, 1))
        assert not list(self.store.root.glob("checkpoints/*/*")), "checkpoints are left"
        assert "Traceback (" not in self.output, self.output[-3000:]
        unharmed = Grid(self.folder / "unharmed")
        unharmed.behave(
            json.loads((self.data / "behavior.json").read_text())["default"] | {"pause": 0.0}
        )
        for unit in units.values():
            compute_here(unharmed, unit)
            assert results(self.store, unit) == results(unharmed.store, unit), (
                f"{unit.key} has another result"
            )


def compute_here(grid, unit, runner="fake_runner:run_unit"):
    """Compute a unit in this process, without Ray and without harm."""
    settings = TrialSettings(
        store=str(grid.store.root),
        data_root=str(grid.data),
        run="here",
        runner=runner,
        tensorboard=False,
        checkpoint_seconds=1e9,
    )
    result = compute_unit(unit, settings, device="cpu")
    assert result.status in ("done", "present"), result
    return result


def results(store, unit, but=MARKS_OF_AN_ATTEMPT):
    """What a unit's computation says: its artifacts, and its rows without the marks of the
    attempt.
    """
    folder = store.fetch_folder(unit.key)
    artifacts = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (DONE, ROWS)
    }
    table = tables.read(store.tables, KINDS[unit.kind].table, [unit.key]).to_pylist()
    return artifacts, [{name: row[name] for name in row.keys() - but} for row in table]


def ended(process, seconds=300):
    """Wait for a process and return its exit code; kill its group if it does not end."""
    try:
        return process.wait(seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def kill(pid, *, session=False):
    """SIGKILL for a process, or for all of the session that it leads; return whether there was such
    a process.
    """
    for other in _session(pid) if session else ():
        with suppress(ProcessLookupError):
            os.kill(other, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


def wait_for(condition, what, seconds=120):
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"in {seconds} s this did not happen: {what}"
        time.sleep(0.02)
    return value


def _runs(pid):
    return _state(pid)[0] not in "ZX"


def _session(leader):
    """Processes that a process started in its session, Ray's workers in groups of their own among
    them.
    """
    others = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid in others if pid != leader and _state(pid)[3] == str(leader)]


def _state(pid):
    """What the system says of a process: state, parent, group, session and more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X", "", "", ""]
