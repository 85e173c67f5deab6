"use strict";
// Sorts and filters the table of runs, copies commands, and lets the keyboard scroll wide tables.

const MOST_ROWS = 500; // rows shown at once, as browsers take seconds to lay out longer tables
const order = new Intl.Collator(undefined, { numeric: true }).compare;

function create(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Rows in order of a column; missing numbers are last in both directions.
function sortRows(rows, column, numeric, direction) {
  const keyed = rows.map(row => {
    const cell = row.cells[column];
    return { row, key: numeric ? parseFloat(cell.dataset.value) : cell.textContent };
  });
  keyed.sort(({ key: a }, { key: b }) => {
    if (!numeric) return direction * order(a, b);
    return Number.isNaN(a) - Number.isNaN(b) || direction * (a - b);
  });
  return keyed.map(({ row }) => row);
}

function makeInteractive(table) {
  const body = table.querySelector("tbody"), heads = [...table.querySelectorAll("thead th")];
  let rows = [...table.querySelectorAll("tbody tr")].map(element => { // live collections of cells would be slow
    const cells = [...element.querySelectorAll("td")];
    return { element, cells, text: cells.map(cell => cell.textContent).join(" ").toLowerCase() };
  });
  let limit = MOST_ROWS;
  const input = create("input", { type: "search" }), count = create("output", { ariaLive: "polite" });
  const all = create("button", { type: "button", textContent: "Show all" });
  const controls = create("p", { className: "filter" }, create("label", {}, "Rows that contain ", input), " ", count, " ", all);
  table.parentElement.before(controls);

  function show() {
    const words = input.value.toLowerCase().split(/\s+/);
    const found = rows.filter(({ text }) => words.every(word => text.includes(word)));
    const shown = found.slice(0, limit);
    body.replaceChildren(...shown.map(({ element }) => element));
    const number = value => value.toLocaleString("en");
    count.textContent = `${number(found.length)} of ${number(rows.length)} rows` +
      (shown.length < found.length ? `, the first ${number(shown.length)} shown` : "");
    all.hidden = shown.length === found.length;
  }

  input.addEventListener("input", show);
  all.addEventListener("click", () => { limit = Infinity; show(); input.focus(); });
  heads.forEach((head, column) => {
    const button = create("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.ariaSort !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.ariaSort = ascending ? "ascending" : "descending";
      rows = sortRows(rows, column, head.classList.contains("n"), ascending ? 1 : -1);
      show();
    });
  });
  show();
}

document.querySelectorAll("table.sortable").forEach(makeInteractive);

for (const code of document.querySelectorAll(".command code")) {
  const title = code.closest("figure").previousElementSibling.textContent;
  const button = create("button", { type: "button", textContent: "Copy", ariaLabel: `Copy the command of ${title}` });
  button.addEventListener("click", () => {
    getSelection().selectAllChildren(code);
    document.execCommand("copy"); // the newer clipboard interface is missing on pages without https
    button.textContent = "Copied";
    button.ariaLabel = `Copied the command of ${title}`;
  });
  code.after(" ", button);
}

const boxes = new ResizeObserver(entries => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    scrolls ? target.setAttribute("tabindex", "0") : target.removeAttribute("tabindex");
  }
});
document.querySelectorAll(".wide").forEach(box => boxes.observe(box));
