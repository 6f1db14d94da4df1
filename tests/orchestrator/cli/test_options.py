"""Verbosity: what reaches stderr, before and after the name of a command."""

import logging

import pytest
from typer.testing import CliRunner

from orchestrator.cli import options
from orchestrator.cli.app import app

logger = logging.getLogger("orchestrator.launch.progress")


@pytest.fixture(autouse=True)
def as_before():
    levels = {name: logging.getLogger(name).level for name in options.PACKAGES}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
        logging.getLogger(name).removeHandler(options._stderr)


def say_all():
    logger.info("a unit started")
    logger.warning("a worker died")
    try:
        raise ValueError("no such thing")
    except ValueError:
        logger.exception("a unit failed")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["spaces"], ["warning: a worker died", "error: a unit failed"]),
        (["-q", "spaces"], ["error: a unit failed"]),
        (["spaces", "--quiet"], ["error: a unit failed"]),
        (
            ["-v", "spaces"],
            ["info: a unit started", "warning: a worker died", "error: a unit failed"],
        ),
        (
            ["spaces", "-v"],
            ["info: a unit started", "warning: a worker died", "error: a unit failed"],
        ),
    ],
)
def test_messages_on_stderr(words, shown, capsys):
    assert CliRunner().invoke(app, words).exit_code == 0
    say_all()
    assert capsys.readouterr().err.splitlines() == shown
    assert options.is_quiet() == ("-q" in words or "--quiet" in words)
    assert options.build_console().quiet == options.is_quiet()


def test_messages_of_other_libraries_stay_out(capsys):
    CliRunner().invoke(app, ["-v", "spaces"])
    logging.getLogger("elsewhere").info("not ours")
    assert capsys.readouterr().err == ""


def test_an_error_reaches_the_user_of_a_quiet_console(capsys):
    CliRunner().invoke(app, ["-q", "spaces"])
    options.print_error(options.build_console(), "The report could not be written")
    printed = capsys.readouterr()
    assert printed.out == "" and "The report could not be written" in printed.err
