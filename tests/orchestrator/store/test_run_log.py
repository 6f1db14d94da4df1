"""The log of a launch: who writes to it, what a line looks like, what happens behind a URL."""

import logging
import os
import re
import subprocess
import sys

import pytest

from orchestrator.errors import StoreError
from orchestrator.store import run_log
from orchestrator.store.open import open_store

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \S+:\d+ [\w.]+( \[.*?\])? \S")
logger = logging.getLogger("orchestrator.store.leases")


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture(autouse=True)
def detached():
    yield
    if run_log._attached is not None:
        run_log._remove(run_log._attached, {})
        run_log._attached = None


def lines_of(store, run="run"):
    return (store.root / "runs" / f"{run}.log").read_text().splitlines()


def test_a_line_says_when_where_and_about_which_unit(store):
    with run_log.record_launch(store, "run"), run_log.name_units(["0123456789abcdef"]):
        logger.warning("took over a lease of %s", "node7")
    (line,) = lines_of(store)
    assert LINE.match(line)
    assert line.split(" ", 1)[1] == (
        f"WARNING {os.uname().nodename}:{os.getpid()} orchestrator.store.leases"
        " [0123456789abcdef] took over a lease of node7"
    )


def test_a_cohort_is_named_by_its_first_unit(store):
    with run_log.record_launch(store, "run"), run_log.name_units(["aaaa", "bbbb", "cccc"]):
        logger.info("started")
    assert "[aaaa and 2 more] started" in lines_of(store)[0]


def test_a_traceback_is_indented_below_its_line(store):
    with run_log.record_launch(store, "run"):
        try:
            raise ValueError("no such thing")
        except ValueError:
            logger.exception("a unit failed")
    first, *others = lines_of(store)
    assert LINE.match(first) and first.endswith("a unit failed")
    assert all(line.startswith("    ") for line in others)
    assert others[-1].strip() == "ValueError: no such thing"


def test_debug_messages_and_other_libraries_are_left_out(store):
    with run_log.record_launch(store, "run"):
        logger.debug("a detail")
        logging.getLogger("elsewhere").error("not ours")
        logging.getLogger("distill_core.training").info("ours")
    assert len(lines_of(store)) == 1


def test_after_the_launch_nothing_is_logged_and_levels_are_as_before(store):
    before = logging.getLogger("orchestrator").level
    with run_log.record_launch(store, "run"):
        logger.info("during")
    logger.error("after")
    assert len(lines_of(store)) == 1
    assert logging.getLogger("orchestrator").level == before


def test_a_worker_logs_the_launch_that_it_works_for(store):
    run_log.attach(store, "first")
    run_log.attach(store, "first")
    logger.info("one")
    run_log.attach(store, "second")
    logger.info("two")
    assert [line[-3:] for line in lines_of(store, "first")] == ["one"]
    assert [line[-3:] for line in lines_of(store, "second")] == ["two"]


def test_the_driving_process_does_not_log_twice(store):
    with run_log.record_launch(store, "run"):
        run_log.attach(store, "run")
        logger.info("once")
    assert len(lines_of(store)) == 1


def test_lines_of_several_processes_do_not_mix(store):
    code = (
        "import sys, logging\nfrom orchestrator.store import run_log\n"
        "from orchestrator.store.open import open_store\n"
        "run_log.attach(open_store(sys.argv[1]), 'run')\n"
        "for i in range(200): logging.getLogger('orchestrator').info('%d %s', i, 'x' * 500)\n"
    )
    command = [sys.executable, "-c", code, str(store.root)]
    for process in [subprocess.Popen(command) for _ in range(3)]:
        assert process.wait() == 0
    lines = lines_of(store)
    assert len(lines) == 600
    assert all(LINE.match(line) and line.endswith("x" * 500) for line in lines)


def test_a_log_that_cannot_be_written_is_no_reason_to_fail(store, capsys):
    (store.root / "runs" / "run.log").mkdir(parents=True)
    with run_log.record_launch(store, "run"):
        logger.error("lost")
    assert capsys.readouterr().err == ""


@pytest.fixture
def s3_store(s3_url):
    return open_store(s3_url)


def objects_of(store):
    return {name: store.storage.get(f"runs/{name}") for name in store.storage.entries("runs")}


def test_behind_a_url_a_process_writes_its_own_object_at_the_end_of_each_unit(s3_store):
    run_log.attach(s3_store, "run")
    logger.info("one")
    assert objects_of(s3_store) == {}
    run_log.flush()
    logger.info("two")
    run_log.flush()
    (name,), (data,) = objects_of(s3_store), objects_of(s3_store).values()
    assert re.fullmatch(rf"run\..*-{os.getpid()}-0\.log", name)
    assert [line[-3:] for line in data.decode().splitlines()] == ["one", "two"]


def test_behind_a_url_a_long_log_continues_in_another_object(s3_store):
    run_log.attach(s3_store, "run")
    for _ in range(3):
        logger.info("x" * run_log.PART_BYTES)
        run_log.flush()
    assert len(objects_of(s3_store)) == 3


def test_behind_a_url_the_driving_process_merges_in_the_order_of_time(s3_store):
    parts = {
        "run.node1-7-0.log": "2026-01-01T00:00:01.000Z INFO a\n2026-01-01T00:00:04.000Z INFO d\n",
        "run.node2-8-0.log": "2026-01-01T00:00:02.000Z ERROR b\n    ValueError\n",
        "other.node2-8-0.log": "2026-01-01T00:00:03.000Z INFO another launch\n",
    }
    with run_log.record_launch(s3_store, "run"):
        for name, text in parts.items():
            s3_store.storage.put(f"runs/{name}", text.encode())
        logger.info("the end")
    found = objects_of(s3_store)
    assert set(found) == {"run.log", "other.node2-8-0.log"}
    lines = found["run.log"].decode().splitlines()
    assert [line.split()[-1] for line in lines] == ["a", "b", "ValueError", "d", "end"]
    assert s3_store.address in run_log.locate_log(s3_store, "run")


def test_behind_a_url_lines_are_kept_while_the_storage_cannot_be_reached(s3_store, monkeypatch):
    def fail(*arguments):
        raise StoreError("the network is gone")

    run_log.attach(s3_store, "run")
    logger.info("one")
    with monkeypatch.context() as patch:
        patch.setattr(type(s3_store.storage), "put", fail)
        run_log.flush()
    logger.info("two")
    run_log.flush()
    (data,) = objects_of(s3_store).values()
    assert [line[-3:] for line in data.decode().splitlines()] == ["one", "two"]


def test_behind_a_url_the_lines_of_a_running_launch_are_kept(s3_store):
    with run_log.record_launch(s3_store, "run"):
        logger.info("started")
        run_log.flush()
        (part,) = objects_of(s3_store).values()
        assert part.decode().endswith("started\n")
        logger.info("ended")
    (whole,) = objects_of(s3_store).values()
    assert [line.rsplit(" ", 1)[1] for line in whole.decode().splitlines()] == ["started", "ended"]
