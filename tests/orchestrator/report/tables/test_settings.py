"""The settings table."""

from dataclasses import replace

from orchestrator.report.tables.settings import build_settings_table, format_distinct


def test_settings_of_each_method(small, tmp_path, write, read_table):
    small.cell("DM", 10, 5, sweep=(("iterations", 7),))
    _, text = write(small, tmp_path / "report", overrides=["seeds=2", "iterations=7"])
    rows = {tuple(row[:4]): row[4:] for row in read_table(text, "Settings")[1:]}
    assert rows["main", "digits", "Random", "10"] == ["", "", "", "", "", "", "", "2", "1,000"]
    assert rows["main", "digits", "DM", "10"] == [
        "ConvNet",
        "7, 20,000",
        "256",
        "2",
        "0",
        "0",
        "",
        "2",
        "1,000",
    ]
    assert (
        dict(read_table(text, "What ran"))["Changed on the command line"] == "seeds=2, iterations=7"
    )


def test_settings_that_are_seldom_changed_have_a_column_where_they_are(small):
    usual = build_settings_table(small.plan).header
    evaluation = small.units[small.cells[0].evaluation_key]
    changed = replace(evaluation.settings, lr_net=0.0025, precision="bf16")
    small.units[evaluation.key] = replace(evaluation, settings=changed)
    table = build_settings_table(small.plan)
    assert table.header == (*usual, "lr_net", "networks trained in")
    values = {tuple(entry.text for entry in line[len(usual) :]) for line in table.rows}
    assert values == {("0.01", "tf32"), ("0.0025, 0.01", "bf16, tf32")}


def test_many_values_of_a_setting_are_a_range():
    assert format_distinct([0.5, 0.1, 0.5]) == "0.1, 0.5"
    assert format_distinct([1000, 5, 20, 3, 4]) == "3 … 1,000 (5 values)"
    assert format_distinct([]) == ""
