/* The table of a board: sorting by DataTables, which columns and numbers are shown, what cells tell,
   and the hints that more columns and more rows follow. */
"use strict";
const ROWS_AT_ONCE = 120; // further ones are laid out when somebody gets there

const shownKinds = {
  average: ["average"],
  main: ["average", "main"],
  all: ["average", "main", "detail"],
};

/* Colour for the eye, a triangle for everybody: whether a difference is for the better. */
const markSign = (cell, difference, metric) => {
  if (!difference) return;
  const better = difference > 0 === metric.higher;
  cell.classList.add(better ? "better" : "worse");
  cell.prepend(Object.assign(document.createElement("i"), { textContent: better ? "▲" : "▼", title: better ? "better" : "worse" }));
};

/* What a column is called: in full where its number is one of the board's. */
const headingOf = (head) => (head.dataset.column ? head.title : head.textContent.trim());

const boardTable = (section, data, sorted, drawn) => {
  const element = section.querySelector(".scroll table");
  const frame = element.closest(".scroll");
  const onward = section.querySelector(".onward");
  const further = section.querySelector(".further");
  const heads = [...element.tHead.querySelectorAll("th[data-column]")];
  const numbered = heads.map((cell) => ({ kind: cell.dataset.kind, column: Number(cell.dataset.column) }));
  const byId = new Map(data.rows.map((row) => [row.id, row]));
  const bestFirst = element.dataset.better === "lower" ? ["asc", "desc"] : ["desc", "asc"];
  const nameColumn = element.tHead.querySelector("th.name").cellIndex;
  const table = new DataTable(element, {
    pageLength: ROWS_AT_ONCE,
    info: false,
    autoWidth: false,
    order: [],
    orderDescReverse: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    columnDefs: [
      { targets: nameColumn ? [0, nameColumn] : [0], orderSequence: ["asc", "desc"] },
      { targets: "_all", orderSequence: bestFirst },
    ],
  });

  /* Whoever sorts looks at the first rows again. */
  const fromTheTop = () => {
    if (table.page.len() === ROWS_AT_ONCE) return;
    table.page.len(ROWS_AT_ONCE);
    frame.scrollTop = 0;
  };
  const shownIds = () => table.rows({ search: "applied", order: "applied" }).nodes().toArray().map((node) => node.id);
  const upTo = (count) => {
    if (count > table.page.len()) table.page.len(Math.ceil(count / ROWS_AT_ONCE) * ROWS_AT_ONCE).draw("page");
  };
  table.on("order", () => {
    fromTheTop();
    sorted();
  });
  table.on("draw", () => {
    const { end, recordsDisplay: all } = table.page.info();
    further.textContent = `The first ${end} of ${all} rows stand here: show more`;
    further.hidden = end >= all;
    drawn();
  });
  further.addEventListener("click", () => upTo(table.page.len() + 1));
  new IntersectionObserver(([{ isIntersecting }]) => {
    if (isIntersecting) upTo(table.page.len() + 1);
  }).observe(further);
  addEventListener("beforeprint", () => upTo(shownIds().length));
  /* A link to a row that does not stand there yet, such as a leader's. */
  section.addEventListener("click", ({ target }) => {
    const place = shownIds().indexOf(target.closest("a[href^='#']")?.hash.slice(1));
    upTo(place + 1);
  });

  /* Differences to the best published number, written when they are first asked for. */
  const different = new Set();
  const writeDifferences = () => {
    table.rows().every(function each() {
      const row = byId.get(this.node().id);
      if (different.has(row)) return;
      different.add(row);
      numbered.forEach(({ column }, number) => {
        const cell = table.cell(this.index(), column).node();
        const difference = row.differences[number] ?? null;
        const value = document.createElement("span");
        value.className = "value";
        value.append(...cell.childNodes);
        const other = document.createElement("span");
        other.className = "difference sign";
        if (row.cells[number]) other.textContent = difference === null ? "—" : signedText(difference);
        if (difference !== null) markSign(other, Number(difference.toFixed(data.metric.decimals)), data.metric);
        cell.append(value, other);
      });
    });
  };
  const signedText = (value) => (value < 0 ? "" : "+") + value.toFixed(data.metric.decimals);

  /* What a number is compared with is told when it is pointed at. */
  element.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("tbody td");
    if (!cell || cell.dataset.told) return;
    cell.dataset.told = "yes";
    const number = numbered.findIndex(({ column }) => column === table.cell(cell).index().column);
    const difference = number < 0 ? null : byId.get(cell.parentNode.id).differences[number] ?? null;
    if (difference !== null) cell.title = [cell.title, `${signedText(difference)} to the best published`].filter(Boolean).join("; ");
  });
  const markSigns = (rows) => {
    for (const cell of rows.flatMap((row) => [...row.querySelectorAll("td.sign")])) {
      markSign(cell, Number(cell.dataset.order) === -999 ? 0 : Number(cell.textContent), data.metric);
    }
  };
  markSigns([...element.tBodies[0].rows]);

  /* How many columns lie beyond the right edge; the button goes on to them. */
  const hint = () => {
    const edge = frame.getBoundingClientRect().right;
    const beyond = heads.filter((head) => head.offsetWidth && head.getBoundingClientRect().right > edge + 2).length;
    const more = frame.scrollLeft + frame.clientWidth < frame.scrollWidth - 2;
    onward.textContent = beyond ? `${beyond} more ${beyond === 1 ? "column" : "columns"} →` : "more columns →";
    onward.hidden = !more;
    frame.classList.toggle("more", more);
  };
  frame.addEventListener("scroll", () => requestAnimationFrame(hint), { passive: true });
  new ResizeObserver(() => requestAnimationFrame(hint)).observe(frame);
  onward.addEventListener("click", () => frame.scrollBy({ left: frame.clientWidth * 0.6 }));

  return {
    /* Which columns: averages; with each dataset's main number; everything. */
    columns(choice) {
      for (const { kind, column } of numbered) {
        table.column(column).visible(shownKinds[choice].includes(kind), false);
      }
      table.columns.adjust();
      hint();
    },
    /* The metric, or its difference to the best published. */
    numbers(choice) {
      if (choice === "difference") writeDifferences();
      element.classList.toggle("differences", choice === "difference");
    },
    /* Those of the ids that no row has yet. */
    missing: (ids) => {
      const there = new Set(table.rows().nodes().toArray().map((node) => node.id));
      return ids.filter((id) => !there.has(id));
    },
    /* Take further rows, as HTML; they are shown once their ids are asked for. */
    add(html) {
      const body = document.createElement("tbody");
      body.innerHTML = html;
      const rows = [...body.rows];
      markSigns(rows);
      table.rows.add(rows);
      return rows;
    },
    /* Show only the rows with these ids. */
    rows(ids) {
      const shown = new Set(ids);
      const idAt = []; // by index: asked for again with every sorting
      table.search.fixed("filters", (text, row, index) => shown.has((idAt[index] ??= table.row(index).node().id)));
      table.draw();
      hint();
    },
    /* The ids of the rows that are shown, in their order. */
    ids: shownIds,
    /* Every row, shown or not. */
    nodes: () => table.rows().nodes().toArray(),
    /* What the table is sorted by: the label of a heading and a direction; null: as it came. */
    get order() {
      const [first] = table.order();
      if (!first || !first[1]) return null;
      const head = table.column(first[0]).header();
      return { by: headingOf(head), direction: first[1] };
    },
    sort(by, direction) {
      const found = table.columns().indexes().toArray().find((column) => {
        const head = table.column(column).header();
        return by === (headingOf(head));
      });
      table.order(found === undefined || !["asc", "desc"].includes(direction) ? [] : [[found, direction]]).draw();
    },
    sortable: () => table.columns().indexes().toArray().map((column) => {
      const head = table.column(column).header();
      return { label: headingOf(head), first: column <= nameColumn ? "asc" : bestFirst[0], shown: table.column(column).visible() };
    }),
  };
};
