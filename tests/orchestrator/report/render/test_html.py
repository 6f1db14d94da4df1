"""The page of a report in a headless browser: what a reader does with it, without a network."""

import re
import shutil

import numpy as np
import pytest

from orchestrator.report import write_report
from orchestrator.report.figures.style import create_figure, save_figure
from orchestrator.report.render.data_uri import encode_picture
from orchestrator.report.search_report import write_search_report
from orchestrator.store.open import open_store

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright, of the extra `test`"
)

WIDTHS = (400, 1400)
NOTE = "one image per class: this is <DM>"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    """Chromium: an installed one, or that of playwright; the tests are skipped where there is
    none.
    """
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=installed)
        except sync_api.Error as error:
            pytest.skip(
                f"needs Chromium: {', '.join(BROWSERS)} or `playwright install chromium` ({error})"
            )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def filled(make_grid, tmp_path_factory):
    """A grid with everything a page shows: notes, failures, missing cells, pictures, curves,
    learning in steps.
    """
    grid = make_grid(tmp_path_factory.mktemp("html") / "store")
    for seed in (0, 1):
        grid.cell("Random", 1, seed, [0.20, 0.22])
        grid.cell("Random", 10, seed, [0.30 + 0.1 * seed, 0.32])
        dm = grid.cell("DM", 10, seed, [0.0934 + 0.1 * seed, 0.0934])
        grid.distillation(
            dm, iterations=100, curve_iteration=[0, 1, 2], curve_loss_mean=[3.0, 2.0, 1.0]
        )
        grid.cell("DM+IID", 1, seed, [0.30, 0.32], same_as="DM", note=NOTE)
        grid.learn("Random", seed, [[0.9, 0.8], [0.5, 0.4]])
        grid.view("Random", seed, {"real": 2.0, "initial": 1.5, "synthetic": 1.25})
    grid.cell("DM+IID", 10, 0)
    failed = grid.cell("IDM", 10, 0)
    grid.failure(
        failed.set_key,
        reason="<script>alert(1)</script>",
        traceback="Traceback: line 7\nValueError: boom",
    )
    for cell in grid.cells:
        if (
            cell.method in ("Random", "DM")
            and cell.measure == "accuracy"
            and cell.seed == 0
            and cell.ipc == 10
        ):
            images = np.linspace(0, 1, 20 * 3 * 8 * 8).reshape(20, 3, 8, 8)
            grid.synthetic_set(cell, images, np.repeat([0, 1], 10), ("cat", "dog"))
    return grid


@pytest.fixture(scope="module")
def files(filled):
    return write_report(
        filled.plan, "a space", open_store(filled.store), filled.store.parent / "report"
    )


@pytest.fixture
def visit(files, browser):
    """Open the page at a width; whatever the page logs, and whatever it asks for, has to be nothing
    in the end.
    """
    contexts, problems = [], []

    def go(width=1400, html=files.html):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: problems.append(request.url) if _leaves(request.url, html) else None,
        )
        page.goto(html.as_uri())
        return page

    def _leaves(url, html):
        return url != html.as_uri() and not url.startswith("data:")

    yield go
    for context in contexts:
        context.close()
    assert problems == []


def _table(page, title):
    return page.locator("article.table", has=page.get_by_role("heading", name=title, exact=True))


def _column(table, index):
    return [
        cell.strip()
        for cell in table.locator(f"tbody tr > :nth-child({index}) .value").all_text_contents()
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_reaches_beyond_the_page(visit, width):
    page = visit(width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert (
        page.evaluate("Math.max(...[...document.images].map(i => i.getBoundingClientRect().right))")
        <= width
    )
    wide = (
        "[...document.querySelectorAll('.scroll')].filter(each =>"
        " each.getBoundingClientRect().right > innerWidth)"
    )
    assert page.evaluate(f"{wide}.length") == 0
    assert (
        page.evaluate("parseFloat(getComputedStyle(document.querySelector('td')).fontSize)") >= 14
    )


def test_a_narrow_page_scrolls_inside_its_tables(visit):
    page = visit(400)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    scroll = page.locator("#settings .scroll")
    assert scroll.evaluate("each => each.scrollWidth > each.clientWidth")
    scroll.evaluate("each => each.scrollLeft = 50")
    assert scroll.evaluate("each => each.scrollLeft") == 50


def test_tables_sort_by_the_value_of_numbers_and_what_is_missing_stays_last(visit):
    table = _table(visit(), "Methods × IPC on ConvNet")
    assert _column(table, 1) == ["Random", "DM", "DM+IID", "IDM"]
    assert _column(table, 3) == ["33.5 ± 3.8", "11.8 ± 4.3", "–", "–"]
    heading = table.locator("th", has_text="IPC 10")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert _column(table, 1) == ["DM", "Random", "DM+IID", "IDM"]
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert _column(table, 1) == ["Random", "DM", "DM+IID", "IDM"]
    table.locator("th", has_text="Method").get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "none"
    assert _column(table, 1) == ["DM", "DM+IID", "IDM", "Random"]


def test_sorting_goes_by_the_keyboard_and_back_to_the_first_order(visit):
    page = visit()
    table = _table(page, "Methods × IPC on ConvNet")
    heading = table.locator("th", has_text="IPC 1").first
    heading.get_by_role("button").focus()
    for order in ("ascending", "descending", "none"):
        page.keyboard.press("Enter")
        assert heading.get_attribute("aria-sort") == order
    assert _column(table, 1) == ["Random", "DM", "DM+IID", "IDM"]


def test_numbers_with_thousands_and_signs_sort_as_numbers(visit):
    page = visit()
    texts = ["1,000", "−3.0", "20 [1, 2]", "+4.5", "–", "9.34 ± 20"]
    order = page.evaluate(
        """texts => {
            const table = document.querySelector("article.table table"), body = table.tBodies[0];
            const row = body.rows[0];
            row.cells[1].className = "";
            body.replaceChildren(...texts.map(text => {
                const copy = row.cloneNode(true);
                copy.cells[1].querySelector(".value").textContent = text;
                return copy;
            }));
            const heading = table.tHead.rows[0].cells[1];
            heading.className = "";
            heading.querySelector("button").click();
            return [...body.rows].map(each => each.cells[1].textContent.trim());
        }""",
        texts,
    )
    assert order == ["−3.0", "+4.5", "9.34 ± 20", "20 [1, 2]", "1,000", "–"]


def test_a_number_opens_its_rows(visit, filled):
    page = visit()
    number = _table(page, "Methods × IPC on ConvNet").get_by_role("button", name="33.5 ± 3.8")
    number.click()
    panel = page.locator("dialog#rows")
    assert panel.locator("h2").text_content() == "Random, IPC 10: 33.5 ± 3.8 (2 units)"
    cells = [c for c in filled.cells if (c.method, c.ipc, c.measure) == ("Random", 10, "accuracy")]
    assert panel.locator("section[data-key]").evaluate_all(
        "all => all.filter(each => !each.closest('.nested')).map(each => each.dataset.key)"
    ) == [cell.evaluation_key for cell in cells]
    first = panel.locator(f"section[data-key='{cells[0].evaluation_key}']")
    assert (
        first.locator("> h3").text_content()
        == f"{cells[0].evaluation_key} evaluate digits, Random, IPC 10, ConvNet, seed 0"
    )
    assert first.locator("tbody tr td").all_text_contents()[:6] == [
        *("0", str(2**62), "30.00"),  # whole, though it is more than a JavaScript number holds
        *("1", str(2**62 + 1), "32.00"),
    ]
    specification = first.locator("details", has_text="Specification").first
    assert not specification.locator("pre").is_visible()
    specification.locator("summary").click()
    text = specification.locator("pre").text_content()
    assert f'"parents": [\n    "{cells[0].set_key}"\n  ]' in text
    assert '"seed": 0' in text
    nested = first.locator(f".nested section[data-key='{cells[0].set_key}'] h3")
    assert nested.text_content() == f"{cells[0].set_key} select digits, Random, IPC 10, seed 0"
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert number.evaluate("each => each === document.activeElement")


def test_learning_in_steps_opens_its_rows_too(visit, filled):
    page = visit()
    key = next(cell.evaluation_key for cell in filled.cells if cell.measure == "continual")
    page.locator(f"button[data-keys~='{key}']").first.click()
    rows = page.locator(f"dialog section[data-key='{key}'] tbody").first.locator("tr")
    assert rows.first.locator("td").all_text_contents() == ["1", "2", "0", "90.00"]
    assert rows.count() == 4


def test_every_number_has_rows(visit):
    page = visit()
    unknown = page.evaluate("""() => {
            const known = JSON.parse(document.getElementById("evidence").textContent).units;
            const keyed = [...document.querySelectorAll("[data-keys]")];
        const named = keyed.flatMap(each => each.dataset.keys.split(" "));
            return [named.length, named.filter(key => !(key in known))];
        }""")
    assert unknown[0] > 20
    assert unknown[1] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_are_enlarged_and_the_focus_returns(visit, width):
    page = visit(width)
    button = page.locator(".sheets .zoom").first
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog#picture")
    image = dialog.locator("img")
    image.evaluate("each => each.decode()")
    assert dialog.locator("h2").text_content() == "Random, digits, IPC 10, seed 0"
    assert (
        image.evaluate("each => each.clientWidth")
        == image.evaluate("each => each.naturalWidth")
        > 400
    )
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("each => each === document.activeElement")


def test_details_failures_and_settings_unfold(visit):
    page = visit()
    for fold, inside in (
        (page.locator("details", has_text="Spread, intervals and differences").first, "article"),
        (page.locator("#failures details"), "pre"),
        (page.locator("#settings details"), "table"),
    ):
        assert not fold.locator(inside).first.is_visible()
        fold.locator("summary").click()
        assert fold.locator(inside).first.is_visible()
    assert page.locator("#failures pre").text_content() == "Traceback: line 7\nValueError: boom"
    assert "<script>alert(1)</script>" in page.locator("#failures summary").text_content()
    assert NOTE in _table(page, "Methods × IPC on ConvNet").locator(".notes").text_content()


def test_contents_lead_to_every_part(visit):
    page = visit()
    targets = page.locator("nav a").evaluate_all(
        "all => all.map(each => each.getAttribute('href').slice(1))"
    )
    assert page.evaluate("ids => ids.filter(id => !document.getElementById(id))", targets) == []
    headings = page.locator("main > section").evaluate_all("all => all.map(each => each.id)")
    assert set(headings) <= set(targets)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))


def test_a_page_without_results_says_so(grid, tmp_path, browser):
    grid.cell("DM", 1, 0)
    files = write_report(
        grid.plan, "space", open_store(grid.store), tmp_path, command="iid run space"
    )
    page = browser.new_page()
    page.goto(files.html.as_uri())
    assert page.locator(".notice").text_content() == "No cell has a result yet: 1 are planned."
    assert page.locator("#missing pre").text_content() == "iid run space"
    assert page.locator("main table:visible").count() == 0
    page.close()


def test_a_picture_is_exact_unless_it_is_too_large(tmp_path):
    figure = create_figure(3, 2, 100)
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    figure.figimage(noise)
    path = save_figure(figure, tmp_path / "noise.png")
    whole = encode_picture(path)
    assert (whole.width, whole.height, whole.exact) == (300, 200, True)
    small = encode_picture(path, max_bytes=20_000)
    assert (small.width, small.height, small.exact) == (300, 200, False)
    assert len(small.uri) < 4 / 3 * 20_000 + 100
    assert re.match("data:image/webp;base64,UklG", small.uri)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_a_search_sorts_enlarges_and_fits(visit, search_result, tmp_path, width):
    report = write_search_report(
        [search_result], "lambda_search", tmp_path, command="iid search lambda_search"
    )
    page = visit(width, report.html)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    trials = page.locator("#table-trials-weights-digits-ipc10-dm-iid")
    heading = trials.get_by_role("button", name="lambda_cc")
    heading.click()
    values = [float(text) for text in trials.locator("tbody tr td:nth-child(3)").all_inner_texts()]
    assert values == sorted(values) or values == sorted(values, reverse=True)
    page.locator("button.zoom").first.click()
    assert page.locator("dialog#picture").is_visible()
