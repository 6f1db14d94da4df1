"""Tables of one experiment, from hand-written rows."""

from orchestrator.report.results import read_results
from orchestrator.report.tables.accuracy import build_accuracy_sections


def _tables(grid):
    (section,) = build_accuracy_sections(read_results(grid.plan, grid.store))
    return {table.title: table for table in (*section.tables, *section.details)}


def _texts(table):
    return [list(table.header), *([entry.text for entry in line] for line in table.rows)]


def _swept(grid, method, seed, values):
    """Cells at IPC 10, swept over the form of covariance: accuracies by value."""
    for form, plain in values.items():
        # Differences of seeds must not agree exactly, or nothing is known of their spread.
        accuracies = [value * (1 + 1e-6 * seed) for value in plain]
        grid.cell(method, 10, seed, accuracies, sweep=(("covariance", form),))


def test_one_setting_swept_for_several_methods_is_methods_by_values(grid):
    for seed, shift in ((0, 0.0), (1, 0.1)):
        _swept(grid, "DM", seed, {"local": [0.40 + shift], "global": [0.42 + shift]})
        _swept(grid, "DM+IID", seed, {"local": [0.50 + shift], "global": [0.47 + shift]})
    tables = _tables(grid)
    title = "Methods × covariance, IPC 10, ConvNet"
    assert _texts(tables[title]) == [
        ["Method", "covariance local", "covariance global"],
        ["DM", "45.0 ± 5.0", "47.0 ± 5.0"],
        ["DM+IID", "55.0 ± 5.0", "52.0 ± 5.0"],
    ]
    assert [entry.emphasis for line in tables[title].rows for entry in line[1:]] == [
        None,  # 45 and 47 differ by 2 in both sets, but are both behind the second
        None,
        "best",
        "second",
    ]
    assert "The best of the table is bold" in tables[title].caption
    differences = [["DM+IID − DM", "+10.00 [+10.00, +10.00]", "+5.00 [+5.00, +5.00]"]]
    assert _texts(tables[f"{title}: differences"])[1:] == differences
    assert _texts(tables[f"{title}: changes from covariance local"]) == [
        ["Method", "covariance global"],
        ["DM", "+2.00 [+2.00, +2.00]"],
        ["DM+IID", "−3.00 [−3.00, −3.00]"],
    ]
    assert _texts(tables[f"{title}: spread"])[1] == [
        "DM",
        "local",
        "45.0 ± 5.0",
        "[0.0, 100.0]",  # error 5, t = 12.7, and an accuracy stays within 0 and 100
        "7.1",
        "–",
        "2 × 1",
    ]


def test_a_sweep_of_one_method_has_its_spread(grid):
    for value in (0.1, 1.0):
        for seed in (0, 1):
            grid.cell(
                "DM",
                10,
                seed,
                [value / 2, value / 2 + 0.02 + 0.1 * seed],
                sweep=(("lr_img", value),),
            )
    # Sets {5, 7} and {5, 17}: means 6 and 11, 5/√2 between; squares 2 + 72 over two degrees of
    # freedom within.
    line = _texts(_tables(grid)["DM, IPC 10, ConvNet: lr_img: spread"])[1]
    assert line[:2] == ["0.1", "8.5 ± 5.0"]
    assert line[3:] == ["3.5", "6.1", "2 × 2"]


def _changes(tables):
    (name,) = [name for name in tables if "changes from" in name]
    return name.rpartition(": ")[2], _texts(tables[name])


def test_a_sweep_of_one_method_is_compared_with_the_usual_value(grid):
    for count, accuracy in ((1, 0.40), (20, 0.45), (50, 0.44)):
        for seed in (0, 1):
            grid.cell(
                "DM",
                10,
                seed,
                [accuracy + 0.1 * seed],
                sweep=(("distillation.lr_img", float(count)),),
            )
    name, texts = _changes(_tables(grid))
    assert name == "changes from lr_img 1"  # as published
    assert texts == [
        ["lr_img", "difference"],
        ["1", "reference"],
        ["20", "+5.00 [+5.00, +5.00]"],
        ["50", "+4.00 [+4.00, +4.00]"],
    ]


def test_a_sweep_without_its_usual_value_is_compared_with_the_first(grid):
    for cc, cm, accuracy in ((0.3, 0.0, 0.4), (0.3, 0.1, 0.5), (0.4, 0.1, 0.35)):
        sweep = (("distillation.lambda_cc", cc), ("distillation.lambda_cm", cm))
        grid.cell("DM+IID", 10, 0, [accuracy, accuracy], sweep=sweep)
    name, texts = _changes(_tables(grid))
    assert name == "changes from λ_CC 0.3 × λ_CM 0"
    assert texts == [
        ["λ_CC", "λ_CM 0", "λ_CM 0.1"],
        ["0.3", "reference", "+10.00 [+10.00, +10.00]"],
        ["0.4", "", "−5.00 [−5.00, −5.00]"],
    ]


def test_every_part_of_the_nested_design_is_in_the_report(grid):
    grid.cell("DM", 10, 0, [0.50, 0.54])
    grid.cell("DM", 10, 1, [0.60, 0.64])
    spread = _tables(grid)["Methods × IPC on ConvNet: spread"]
    assert spread.header[2:] == (
        "mean ± std",
        "95 % interval",
        "between sets",
        "within sets",
        "sets × networks",
    )
    line = [entry.text for entry in spread.rows[0]]
    assert (line[2], *line[4:]) == ("57.0 ± 5.4", "7.1", "2.8", "2 × 2")  # √29; 10/√2; √(4·2²/2)


def test_the_same_set_under_two_evaluations_is_not_called_the_same(grid):
    for strategy, accuracy in (("none", 0.4), ("flip", 0.5)):
        for method, extra in (("DM", 0.0), ("DM+IID", 0.1)):
            sweep = (("lr_img", {"none": 1.0, "flip": 2.0}[strategy]),)
            grid.cell(method, 10, 0, [accuracy + extra], sweep=sweep, same_as="DM")
    differences = _tables(grid)["Methods × lr_img, IPC 10, ConvNet: differences"]
    assert _texts(differences)[1] == ["DM+IID − DM", "same set", "same set"]


def test_architectures(grid, tmp_path, write, read_table):
    for network, accuracy in (("ConvNet", 0.5), ("ResNet18", 0.4)):
        grid.cell("Random", 10, 0, [accuracy - 0.1], network=network)
        grid.cell("DM", 10, 0, [accuracy], network=network)
    _, text = write(grid, tmp_path / "report")
    assert read_table(text, "Methods × architectures at IPC 10") == [
        ["Method", "ConvNet", "ResNet18"],
        ["Random", "40.0", "30.0"],  # one set says nothing about others, so nothing is marked
        ["DM", "50.0", "40.0"],
    ]
    assert "Methods × IPC" not in text  # one column each, which this table has already


def test_protocols_splits_and_data_sets_never_share_a_table(grid, tmp_path, write):
    for i, options in enumerate(
        ({}, {"protocol": "strict"}, {"split": "validation"}, {"dataset": "svhn"})
    ):
        grid.cell("DM", 1, 0, [0.1 * (i + 1)], **options)
    files, _ = write(grid, tmp_path / "report")
    assert [
        (section.title, section.tables[0].rows[0][1].text) for section in files.report.sections
    ] == [
        ("digits: accuracy", "10.0"),
        ("digits: accuracy, protocol strict", "20.0"),
        ("digits: accuracy, validation images", "30.0"),
        ("svhn: accuracy", "40.0"),
    ]
    assert len({table.slug for table in files.report.tables}) == len(files.report.tables)
