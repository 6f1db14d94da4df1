"""The report as Markdown."""


def test_text_that_markdown_would_interpret_is_shown_as_it_is(grid, tmp_path, write):
    grid.cell("DM", 1, 0, [0.5], note="a|b *c* <d>")
    cell = grid.cell("DM", 1, 1)
    grid.failure(cell.set_key, reason="<script>alert(1)</script> **x**")
    _, text = write(grid, tmp_path / "report")
    assert r"a\|b \*c\* &lt;d>" in text
    assert r"&lt;script>alert(1)&lt;/script> \*\*x\*\*" in text
