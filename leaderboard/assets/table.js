/* The table of a board: sorting by DataTables, and which columns and numbers are shown. */
"use strict";
const boardTable = (section) => {
  const element = section.querySelector(".scroll table");
  const numbered = [...element.tHead.querySelectorAll("th[data-column]")].map((cell) => ({
    kind: cell.dataset.kind,
    column: Number(cell.dataset.column),
  }));
  const bestFirst = element.dataset.better === "lower" ? ["asc", "desc"] : ["desc", "asc"];
  const table = new DataTable(element, {
    paging: false,
    info: false,
    autoWidth: false,
    order: [],
    orderDescReverse: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    columnDefs: [
      { targets: [0, "name"], orderSequence: ["asc", "desc"] },
      { targets: "_all", orderSequence: bestFirst },
    ],
  });

  const shownKinds = {
    average: ["average"],
    main: ["average", "main"],
    all: ["average", "main", "detail"],
  };

  return {
    /* Which columns: averages; with each dataset's main number; everything. */
    columns(choice) {
      for (const { kind, column } of numbered) {
        table.column(column).visible(shownKinds[choice].includes(kind), false);
      }
      table.columns.adjust();
    },
    /* The metric, or its difference to the best published. */
    numbers(choice) {
      element.classList.toggle("differences", choice === "difference");
    },
    /* Show only the rows with these ids. */
    rows(ids) {
      const shown = new Set(ids);
      table.search.fixed("filters", (text, data, index) => shown.has(table.row(index).node().id));
      table.draw();
    },
  };
};
