"""What custom code prints goes to the launch's log and to where it was printed."""

import logging
import sys

from orchestrator.execution import printed_lines
from orchestrator.execution.printed_lines import log_printed_lines


def test_prints_are_logged_line_by_line_and_still_shown(caplog, capsys):
    with caplog.at_level(logging.INFO, printed_lines.__name__), log_printed_lines():
        print("one", 2)
        print("part", end="")
        print(" and rest\n\nlast", end="")
        print("10%\r20%\r30%", file=sys.stderr)
    assert caplog.messages == [
        "printed: one 2",
        "printed: part and rest",
        "printed: 30%",
        "printed: last",
    ]
    assert capsys.readouterr().out == "one 2\npart and rest\n\nlast"
    print("after")
    assert "printed: after" not in caplog.messages


def test_a_flood_is_cut(caplog, capsys):
    with caplog.at_level(logging.INFO, printed_lines.__name__), log_printed_lines():
        for number in range(printed_lines.MAX_LINES + 50):
            print(number)
    assert len(caplog.messages) == printed_lines.MAX_LINES + 1
    assert "the rest is not logged" in caplog.messages[-1]


def test_a_log_of_custom_code_that_writes_to_stderr_does_not_log_itself(caplog, capfd):
    handler = None
    with caplog.at_level(logging.INFO, printed_lines.__name__), log_printed_lines():
        handler = logging.StreamHandler()  # as logging.basicConfig in custom code makes it
        logging.getLogger(printed_lines.__name__).addHandler(handler)
        try:
            print("once", file=sys.stderr)
            sys.stdout.buffer.write(b"bytes\n")
        finally:
            logging.getLogger(printed_lines.__name__).removeHandler(handler)
    assert caplog.messages == ["printed: once"]
    assert "Traceback" not in capfd.readouterr().err
