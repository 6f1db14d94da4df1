"""Tables of a sweep of one method."""


def test_sweep_over_two_settings_is_a_grid(grid, tmp_path, write, read_table):
    for cc in (0.0, 0.05):
        for cm in (0.0, 0.01):
            sweep = (("lambda_cc", cc), ("lambda_cm", cm))
            for seed in (0, 1):
                accuracy = (0.5 + cc + cm) * (1 + 1e-6 * seed)  # seeds never agree exactly
                grid.cell("DM+IID", 10, seed, [accuracy, accuracy], sweep=sweep)
    _, text = write(grid, tmp_path / "report")
    assert read_table(text, r"DM+IID, IPC 10, ConvNet: λ\_CC × λ\_CM") == [
        [r"λ\_CC", r"λ\_CM 0", r"λ\_CM 0.01"],
        ["0", "50.0 ± 0.0", "51.0 ± 0.0"],
        ["0.05", "<u>55.0 ± 0.0</u>", "**56.0 ± 0.0**"],
    ]


def test_sweep_over_one_setting_is_a_column(grid, tmp_path, write, read_table):
    for value in (0.1, 1.0):
        for seed in (0, 1):
            accuracy = value / 2 * (1 + 1e-6 * seed)
            grid.cell("DM", 10, seed, [accuracy], sweep=(("lr_img", value),))
    _, text = write(grid, tmp_path / "report")
    assert read_table(text, r"DM, IPC 10, ConvNet: lr\_img") == [
        [r"lr\_img", "accuracy"],
        ["0.1", "<u>5.0 ± 0.0</u>"],
        ["1", "**50.0 ± 0.0**"],
    ]
