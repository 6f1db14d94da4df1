"""Tables of a search."""

from orchestrator.report.search_tables import (
    build_finalists_table,
    build_summary_table,
    build_trials_table,
)


def texts(table):
    return [[entry.text for entry in line] for line in table.rows]


def test_the_summary_says_what_was_found_and_what_it_is_worth(search_result):
    assert texts(build_summary_table([search_result])) == [
        [
            "digits, IPC 10, DM+IID",
            "8",
            "5",
            "lambda_cc 0, lambda_cm 0.2",
            "71.5 ± 1.1",
            "76.5 ± 1.1",
            "+5.0",
            "+4.0 to +6.0",
        ]
    ]
    (line,) = build_summary_table([search_result]).rows
    assert line[6].emphasis == "clear"


def test_trials_show_the_rungs_that_they_reached(search_result):
    lines = texts(build_trials_table(search_result))
    assert lines[1] == ["1", "tpe", "0", "0.2", "55.0", "65.0", "75.0", "complete"]
    assert lines[2][4:] == ["42.0", "–", "–", "stopped"] and lines[7][4:] == [
        "–",
        "–",
        "–",
        "diverged",
    ]
    assert [line[0] for line in texts(build_finalists_table(search_result))] == ["1", "0"]
