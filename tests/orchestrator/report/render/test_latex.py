"""LaTeX tables: their text, and that a document that inputs them compiles."""

import re
import shutil
import subprocess

import pytest

from orchestrator.report.model import Report, Section, Table, TableEntry, build_row
from orchestrator.report.render.latex import render_latex_table, write_latex
from orchestrator.report.render.latex_escape import escape

OVERVIEW = Table(
    slug="overview", title="What ran", header=("", ""), rows=(build_row("Host", "secret"),)
)


def _report(*tables, aggregates=()):
    title = "digits_2: accuracy (paper/main)"
    section = Section(
        experiment="paper/main", title=title, place="digits_2", tables=tables, details=()
    )
    others = dict.fromkeys(Report.__dataclass_fields__) | {
        "costs": (OVERVIEW,),
        "overview": OVERVIEW,
    }
    return Report(**(others | {"space": "small", "sections": (section,), "aggregates": aggregates}))


def _table(rows, header=("Method", "IPC 10"), **options):
    return Table(slug="main", title="Methods × IPC", header=header, rows=tuple(rows), **options)


def _lines(text):
    """The rows between the rules."""
    return text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42.3 ± 0.7", r"42.3\,$\pm$\,0.7"),
        ("λ_CC × λ_CM", r"$\lambda_{\mathrm{CC}}$ $\times$ $\lambda_{\mathrm{CM}}$"),
        ("L_CC and λ", r"$L_{\mathrm{CC}}$ and $\lambda$"),
        (
            "lr_img 50 % & #1 {x} ~ ^ $ \\",
            r"lr\_img 50\,\% \& \#1 \{x\} \textasciitilde{} \textasciicircum{} \$ "
            r"\textbackslash{}",
        ),
        ("−1.5 – a<b|c>d", r"$-$1.5 -- a$<$b$|$c$>$d"),
        ("R² ‖x‖ ½ e^α", r"R$^2$ $\|$x$\|$ $\tfrac12$ e\textasciicircum{}$\alpha$"),
        ("Zürich, Åse, naïve, straße", r"Z\"{u}rich, \r{A}se, na\"{i}ve, stra\ss{}e"),
        ("--set", "-{}-set"),
        ("two\nlines\x00", "two lines "),
        ("猫", "[U+732B]"),
    ],
)
def test_escape(text, expected):
    assert escape(text) == expected


def test_best_is_bold_second_is_underlined_and_notes_are_marked():
    rows = [
        (TableEntry(text="DM"), TableEntry(text="42.3 ± 0.7", emphasis="best", notes=(1,))),
        (TableEntry(text="Random"), TableEntry(text="30.0", emphasis="second")),
        (TableEntry(text="IDM"), TableEntry(text="")),
    ]
    text = render_latex_table(
        _table(rows, notes=("1 of 2 sets so far", "of another part"), caption="In %."), "digits"
    )
    assert _lines(text) == [
        r"DM & \textbf{42.3\,$\pm$\,0.7}$^{1}$ \tabularnewline",
        r"Random & \underline{30.0} \tabularnewline",
        r"IDM &  \tabularnewline",
    ]
    assert r"\caption{Methods $\times$ IPC, digits. In\,\%.}\label{tab:main}" in text
    assert r"{\footnotesize\raggedright $^{1}$\,1 of 2 sets so far}" in text
    assert "another part" not in text
    assert r"\begin{tabular}{lr}" in text


def test_a_long_table_is_cut_into_floats_under_one_number():
    text = render_latex_table(_table([build_row(f"m{i}", i) for i in range(95)]))
    floats = text.split(r"\end{table}")[:-1]
    assert [len(_lines(part)) for part in floats] == [40, 40, 15]
    assert text.count(r"\label{tab:main}") == 1
    assert text.count(r"\addtocounter{table}{-1}") == 2
    assert _lines(floats[-1])[-1] == r"m94 & 94 \tabularnewline"


def test_files_of_result_tables_and_a_document_of_them_all(tmp_path):
    across = (Table(slug="reproduction", title="R", header=("a",), rows=(build_row("b"),)),)
    written = write_latex(_report(_table([build_row("DM", 1)]), aggregates=across), tmp_path)
    names = ["main.tex", "reproduction.tex", "all.tex"]
    assert [path.relative_to(tmp_path / "latex").as_posix() for path in written] == names
    document = written[-1].read_text()
    assert re.findall(r"\\input\{(.*)\}", document) == names[:-1]
    assert "Methods $\\times$ IPC, digits\\_2." in written[0].read_text()
    assert "paper/main" not in written[0].read_text()
    assert all(
        path.read_text().startswith("% Needs \\usepackage{booktabs,amsmath,graphicx}")
        for path in written[:-1]
    )
    assert not any("secret" in path.read_text() for path in written)


def _compile(document):
    """Compile a document in its folder; the reason to skip where nothing can."""
    commands = {
        "pdflatex": ["-interaction=nonstopmode", "-halt-on-error"],
        "tectonic": ["--untrusted"],
    }
    found = [name for name in commands if shutil.which(name)]
    if not found:
        pytest.skip("needs pdflatex (texlive) or tectonic to compile LaTeX")
    command = [found[0], *commands[found[0]], document.name]
    done = subprocess.run(
        command, cwd=document.parent, capture_output=True, text=True, errors="replace", timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


AWKWARD = [
    build_row("[60.0, 62.0]", "* x", "−1.5 [−2.0, +1.0]"),
    build_row(
        "a & b % $ # _ { } ~ ^ \\ < > |",
        "λ_CC 0.05, L_CM, α β ψ Σ, ‖x‖² ½ ≥ … “q” é ç ø ł",
        "42.3 ± 0.7",
    ),
    build_row("not comparable: iterations 80, not 20,000, " * 3, "猫", ""),
]


def test_a_document_with_every_table_compiles(tmp_path):
    awkward = _table(
        AWKWARD,
        header=("[Method]", "λ_CM 0.0", "95 % interval"),
        caption="e^−1 & 5 %",
        notes=("n_1",),
        text_columns=(0, 1),
    )
    long = Table(
        slug="long.v2",
        title="Long",
        header=("a", "b"),
        rows=tuple(build_row(i, i) for i in range(130)),
    )
    wide = Table(
        slug="wide", title="Wide", header=("x",) * 30, rows=(build_row(*["42.3 ± 0.7"] * 30),)
    )
    empty = Table(slug="empty", title="Empty", header=("x",), rows=())
    many = [Table(slug=f"t{i}", title="T", header=("x",), rows=(build_row(1),)) for i in range(60)]
    written = write_latex(_report(awkward, long, wide, empty, *many), tmp_path)
    _compile(written[-1])


def test_a_paper_with_booktabs_and_amsmath_alone_inputs_a_table(tmp_path):
    rows = [(*AWKWARD[0][:2], TableEntry(text="best", emphasis="best", notes=(1,)))]
    path, _ = write_latex(
        _report(_table(rows, header=("a", "b", "c"), notes=("a note",))), tmp_path
    )
    paper = tmp_path / "paper.tex"
    paper.write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs,amsmath}\n\\begin{document}\nTable"
        f" \\ref{{tab:main}}.\n\\input{{latex/{path.name}}}\n\\end{{document}}\n"
    )
    _compile(paper)
