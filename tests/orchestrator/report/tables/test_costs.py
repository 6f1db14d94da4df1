"""Tables of costs."""


def test_costs(small, tmp_path, write, read_table):
    cells = {(c.method, c.ipc, c.seed): c for c in small.cells}
    for seed, seconds in ((0, 0.2), (1, 0.3)):
        small.distillation(cells["DM", 10, seed], iterations=100, seconds_per_iteration=seconds)
    _, text = write(small, tmp_path / "report")
    assert read_table(text, "Hours")[1:] == [
        ["Sets distilled", "A Processor", "2", "0.017"],  # 2 × 30 s
        ["Sets evaluated", "A Processor", "9", "0.010"],  # 18 × 2 s
        ["All", "A Processor", "11", "0.027"],
    ]
    assert read_table(text, "Synthetic sets")[1] == [
        "digits",
        "DM",
        "10",
        "ConvNet",
        "",
        "20000",
        "0.25",
        "30",
        "1.50 GiB",
        "2",
    ]
    assert read_table(text, "Evaluated networks")[1] == [
        "digits",
        "ConvNet",
        "1",
        "1001",
        "2",
        "0.25 GiB",
        "8",
    ]


def test_costs_of_unequal_work_are_not_averaged(grid, tmp_path, write, read_table):
    for network, seconds in (("ConvNet", 0.1), ("VGG11", 0.9)):
        cell = grid.cell("DM", 10, 0, [0.5], sweep=(("network", network),))
        grid.distillation(cell, iterations=100, seconds_per_iteration=seconds)
    _, text = write(grid, tmp_path / "report")
    assert [line[3:7] for line in read_table(text, "Synthetic sets")[1:]] == [
        ["ConvNet", "", "20000", "0.1"],
        ["VGG11", "", "20000", "0.9"],
    ]
