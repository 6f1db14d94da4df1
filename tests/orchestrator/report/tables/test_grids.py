"""Tables of a grid, from rows written by hand: every number is worked out here."""


def test_methods_by_ipc(small, tmp_path, write, read_table, note):
    _, text = write(small, tmp_path / "report")
    assert read_table(text, "Methods × IPC on ConvNet") == [
        ["Method", "IPC 1", "IPC 10"],
        ["Random", "<u>21.0 ± 1.0</u>", "36.0 ± 5.1"],  # 30, 32, 40, 42: deviations 6, 4, 4, 6, √26
        ["DM", "**31.0 ± 1.0**", "57.0 ± 5.4"],  # 50, 54, 60, 64: deviations 7, 3, 3, 7, √29
        ["DM+IID", "**31.0 ± 1.0**<sup>1</sup>", "61.0 ± 1.0<sup>2</sup>"],
    ]
    assert f"<sup>1</sup> {note}<br>" in text
    assert "<sup>2</sup> 1 of 2 sets so far" in text


def test_spread(small, tmp_path, write, read_table):
    _, text = write(small, tmp_path / "report")
    rows = {
        (row[0], row[1]): row[2:] for row in read_table(text, "Methods × IPC on ConvNet: spread")
    }
    # Means of the sets 52 and 62: 10/√2. Within: four deviations of 2, two degrees of freedom: √8.
    # Error 5, and t = 12.7 with one degree of freedom; an accuracy stays within 0 and 100.
    mean, interval, between, within, counts = rows["DM", "10"]
    assert (mean, between, within, counts) == ("57.0 ± 5.4", "7.1", "2.8", "2 × 2")
    assert interval == "[0.0, 100.0]"
    # One set, two networks: error 1.
    assert rows["DM+IID", "10"] == ["61.0 ± 1.0", "[48.3, 73.7]", "–", "1.4", "1 × 2"]


def test_differences_are_paired_by_seed(small, tmp_path, write, read_table):
    _, text = write(small, tmp_path / "report")
    rows = {row[0]: row[1:] for row in read_table(text, "Methods × IPC on ConvNet: differences")}
    assert rows["DM − Random"] == ["**+10.00 [+10.00, +10.00]**", "**+21.00 [+12.02, +29.98]**"]
    assert rows["DM+IID − Random"] == ["**+10.00 [+10.00, +10.00]**", "+30.00 [+30.00, +30.00]"]
    assert rows["DM+IID − DM"] == [
        "same set",
        "+9.00 [−3.71, +21.71]",
    ]  # seed 0 alone, so unmarked: 60−50 and 62−54


def test_a_difference_whose_interval_covers_zero_is_not_marked(grid, tmp_path, write, read_table):
    for seed, change in ((0, -0.02), (1, 0.01)):
        grid.cell("Random", 1, seed, [0.50])
        grid.cell("DM", 1, seed, [0.50 + change])
    _, text = write(grid, tmp_path / "report")
    assert read_table(text, "Methods × IPC on ConvNet: differences")[1] == [
        "DM − Random",
        "−0.50 [−19.56, +18.56]",
    ]


def test_sets_that_agree_by_chance_do_not_mark_a_difference_whose_interval_covers_zero(
    grid, tmp_path, write, read_table
):
    for seed in (0, 1):
        grid.cell("Random", 1, seed, [0.50, 0.50])
        grid.cell("DM", 1, seed, [0.44, 0.58])  # the mean difference is 1 point on both
    _, text = write(grid, tmp_path / "report")
    assert read_table(text, "Methods × IPC on ConvNet: differences")[1] == [
        "DM − Random",
        "+1.00 [−61.89, +63.89]",
    ]


def test_whole_training_set_stands_in_every_column_without_a_rank(
    small, tmp_path, write, read_table
):
    small.cell("Whole", None, 0, [0.90, 0.92])
    _, text = write(small, tmp_path / "report")
    assert read_table(text, "Methods × IPC on ConvNet")[-1] == ["Whole", "91.0 ± 1.0", "91.0 ± 1.0"]
    spread = read_table(text, "Methods × IPC on ConvNet: spread")
    assert [row[:3] for row in spread if row[0] == "Whole"] == [["Whole", "all", "91.0 ± 1.0"]]
    assert "Whole −" not in text
