"""What ran, what failed, and which cells are missing."""


def test_overview(small, tmp_path, write, read_table):
    cells = {(c.method, c.ipc, c.seed): c for c in small.cells}
    for seed, seconds in ((0, 0.2), (1, 0.3)):
        small.distillation(cells["DM", 10, seed], iterations=100, seconds_per_iteration=seconds)
    _, text = write(small, tmp_path / "report")
    facts = dict(read_table(text, "What ran"))
    assert (
        facts["Finished"] == "0 of 4 sets selected, 2 of 6 sets distilled, 9 of 10 sets evaluated"
    )
    assert facts["Data"] == "digits version 1 (fingerprint fingerprint-of-d)"
    assert facts["Versions"] == "torch 2.11.0"
    assert facts["Device"] == "A Processor"
    assert facts["Compute time of all units"] == "1 min 36 s"  # 2 sets × 30 s, 9 × 2 networks × 2 s


def test_missing_cells(small, tmp_path, write, read_table):
    small.cell("IDM", 10, 0)
    files, text = write(small, tmp_path / "report", "my space", overrides=["seeds=2"])
    assert read_table(text, "Methods × IPC on ConvNet")[-1] == ["IDM", "", "–"]
    title = "main: digits"
    assert read_table(text, "Still missing")[1:] == [
        [title, "accuracy", "DM+IID", "10", "ConvNet", "1"],
        [title, "accuracy", "IDM", "10", "ConvNet", "1"],
    ]
    assert "**Still missing: 2 of 13 cells**" in text
    assert f"`iid run 'my space' --set seeds=2 --store {small.store}`" in text
    assert (files.report.planned_cells, files.report.missing_cells) == (13, 2)


def test_missing_class_orders_and_features_count_too(grid, tmp_path, write, read_table):
    grid.learn("Random", 0, [[0.9, 0.8], [0.5, 0.4]])
    grid.learn("Random", 1)
    grid.view("Random", 0)
    files, text = write(grid, tmp_path / "report")
    assert [row[1:] for row in read_table(text, "Still missing")[1:]] == [
        ["accuracy over 2 steps", "Random", "2", "ConvNet", "1"],
        ["features", "Random", "2", "ConvNet", "1"],
    ]
    assert (files.report.planned_cells, files.report.missing_cells) == (3, 2)
    assert "1 of 2 class-incremental runs, 0 of 1 sets embedded" in text


def test_failures_of_this_plan_that_are_not_done(small, tmp_path, write, read_table):
    failed = small.cell("IDM", 10, 0)
    small.failure(failed.set_key, reason="out of memory | tried\n3 GiB")
    small.failure(small.cells[0].evaluation_key, reason="failed once, done since")
    outside = type(small)(small.store)
    outside.failure(outside.cell("IDM", 50, 7).set_key, reason="another plan")
    _, text = write(small, tmp_path / "report")
    assert read_table(text, "Failures")[1:] == [
        [
            failed.set_key,
            "distill digits, IDM, IPC 10, seed 0".replace("IDM", "DM"),
            "ValueError",
            "out of memory \\| tried 3 GiB",
        ]  # the hand-made unit has no queue, so it is DM's
    ]
    assert "done since" not in text
    assert "another plan" not in text
