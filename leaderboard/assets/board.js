/* Wires each board of the page: data, filters, table, plots; and the switch between suites. */
"use strict";
(() => {
  const wire = (section) => {
    const data = JSON.parse(section.querySelector("script.data").textContent);
    const table = boardTable(section);
    const colour = plotting.colours(data.rows);
    let rows = data.rows;

    const plots = section.querySelector(".plots");
    let drawn = 0; // the width the plots were last drawn for
    const draw = () => {
      drawn = plots.clientWidth;
      for (const figure of section.querySelectorAll("figure[data-plot]")) {
        const canvas = figure.querySelector(".canvas");
        const width = canvas.clientWidth;
        if (!width) continue; // the suite is not shown
        const options = plotKinds[figure.dataset.plot](data, rows, width, colour);
        if (options) {
          canvas.replaceChildren(plotting.legend(rows, colour), Plot.plot(options));
        } else {
          canvas.replaceChildren(Object.assign(document.createElement("p"), { textContent: "No row has these numbers.", className: "small" }));
        }
      }
    };

    boardFilters(section, data.rows, (found, columns, numbers) => {
      rows = found;
      table.columns(columns);
      table.numbers(numbers);
      table.rows(found.map((row) => row.id));
      draw();
    });
    new ResizeObserver(() => {
      if (plots.clientWidth !== drawn) requestAnimationFrame(draw);
    }).observe(plots);
  };

  /* One suite at a time: their numbers never stand beside each other. */
  const suites = () => {
    const bar = document.querySelector(".suites");
    if (!bar) return;
    const show = (name) => {
      for (const section of document.querySelectorAll("section.board")) section.hidden = section.dataset.suite !== name;
      for (const button of bar.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.suite === name));
    };
    bar.hidden = false;
    bar.addEventListener("click", (event) => { if (event.target.dataset.suite) show(event.target.dataset.suite); });
    const names = [...bar.querySelectorAll("button")].map((button) => button.dataset.suite);
    const follow = () => {
      const asked = location.hash.replace("#suite-", "");
      if (names.includes(asked)) show(asked);
    };
    show(names[0]);
    follow();
    addEventListener("hashchange", follow);
  };

  addEventListener("DOMContentLoaded", () => {
    for (const section of document.querySelectorAll("section.board")) wire(section);
    suites();
  });
})();
