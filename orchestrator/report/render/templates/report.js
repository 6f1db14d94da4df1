"use strict";
(() => {
  const evidence = JSON.parse(document.getElementById("evidence").textContent);

  const element = (name, options = {}, ...children) => {
    const made = Object.assign(document.createElement(name), options);
    made.append(...children);
    return made;
  };

  // Sorting: ascending, descending, and back to the report's own order; missing values stay last.
  const numberIn = (text) => {
    const found = text.replace(/[−–]/g, "-").replace(/(\d),(?=\d{3})/g, "$1").match(/[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return found ? Number(found[0]) : null;
  };
  const sortValue = (row, column, words) => {
    const text = row.cells[column].querySelector(".value").textContent.trim();
    if (text === "" || text === "–") return null;
    return words ? text : numberIn(text);
  };
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);

  const sortBy = (heading) => {
    const table = heading.closest("table");
    const body = table.tBodies[0];
    table.originalRows ??= [...body.rows];
    const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.ariaSort];
    for (const other of table.tHead.rows[0].cells) if (other.ariaSort) other.ariaSort = "none";
    heading.ariaSort = next;
    const words = heading.classList.contains("words");
    const sign = next === "descending" ? -1 : 1;
    const rows = table.originalRows.map((row) => [row, sortValue(row, heading.cellIndex, words)]);
    if (next !== "none") {
      rows.sort(([, a], [, b]) => (a === null || b === null ? (a === null) - (b === null) : sign * compare(a, b)));
    }
    body.append(...rows.map(([row]) => row));
  };

  // The rows behind a number.
  const facts = (unit) => {
    const pairs = evidence.names.map((name, i) => [name, unit.facts[i]]).filter(([, text]) => text);
    const lines = pairs.map(([name, text]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: text })));
    return element("dl", { className: "facts" }, ...lines);
  };
  const grid = (heads, rows) => {
    const used = heads.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== ""));
    const line = (texts, name) => element("tr", {}, ...used.map((i) => element(name, { textContent: texts[i] })));
    const table = element("table", {}, element("thead", {}, line(heads, "th")),
      element("tbody", {}, ...rows.map((row) => line(row, "td"))));
    return element("div", { className: "scroll", tabIndex: 0 }, table);
  };
  const specification = (unit) => {
    const whole = { ...evidence.specs[unit.spec], parents: evidence.parents[unit.parents] };
    if (unit.seed !== null) whole.seed = unit.seed;
    const sorted = Object.fromEntries(Object.entries(whole).sort(([a], [b]) => (a < b ? -1 : 1)));
    const text = element("pre", { textContent: JSON.stringify(sorted, null, 2), tabIndex: 0 });
    return element("details", { className: "fold" }, element("summary", { textContent: "Specification" }), text);
  };
  const describe = (key) => {
    const unit = evidence.units[key];
    const heading = element("h3", {}, element("code", { textContent: key }), ` ${unit ? unit.what : ""}`);
    const section = element("section", {}, heading);
    section.dataset.key = key;
    if (!unit) return section;
    section.append(facts(unit));
    if (unit.rows.length) section.append(grid(evidence.heads[unit.table], unit.rows));
    section.append(specification(unit));
    if (unit.sets.length) {
      const sets = element("div", { className: "nested" }, ...unit.sets.map(describe));
      const title = unit.sets.length > 1 ? `The ${unit.sets.length} sets` : "The set";
      section.append(element("details", { className: "fold" }, element("summary", { textContent: title }), sets));
    }
    return section;
  };
  const place = (button) => {
    const cell = button.closest("th, td");
    const table = cell.closest("table");
    const column = table.tHead.rows[0].cells[cell.cellIndex].textContent.trim();
    const words = [...cell.parentElement.querySelectorAll(".words .value")].filter((value) => !cell.contains(value));
    return [...words.map((value) => value.textContent.trim()), column].filter(Boolean).join(", ");
  };

  const show = (dialog, title, ...content) => {
    dialog.querySelector("h2").textContent = title;
    dialog.querySelector(".content").replaceChildren(...content);
    dialog.showModal(); // Esc closes it, and the focus goes back to the button that opened it
    dialog.scrollTop = 0;
  };
  const outside = (dialog, { clientX: x, clientY: y }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    return x < left || x > right || y < top || y > bottom;
  };
  const rows = document.getElementById("rows");
  const picture = document.getElementById("picture");

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target.matches("dialog") && outside(event.target, event)) event.target.close();
    if (!button) return;
    if (button.matches(".sort")) sortBy(button.closest("th"));
    if (button.matches("[data-keys]")) {
      const keys = [...new Set(button.dataset.keys.split(" "))];
      const units = keys.length > 1 ? ` (${keys.length} units)` : "";
      show(rows, `${place(button)}: ${button.textContent.trim()}${units}`, ...keys.map(describe));
    }
    if (button.matches(".zoom")) {
      const image = button.querySelector("img");
      const large = element("img", { src: image.src, alt: image.alt });
      large.width = image.dataset.width;
      show(picture, image.alt, large);
    }
  });

  const contents = document.querySelector("nav details");
  if (matchMedia("(max-width: 69.99rem)").matches) contents.open = false;
})();
