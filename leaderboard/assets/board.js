/* Wires each board of the page: data, filters, table, plots; and the switches between suites and
   between metrics. */
"use strict";
(() => {
  const wire = (section) => {
    const data = JSON.parse(section.querySelector("script.data").textContent);
    const table = boardTable(section);
    const plots = plotSection(section, data);

    boardFilters(section, data.rows, (found, columns, numbers) => {
      table.columns(columns);
      table.numbers(numbers);
      table.rows(found.map((row) => row.id));
      plots.draw(found);
    });
  };

  /* One suite and one metric at a time: their numbers never stand beside each other. */
  const switches = () => {
    const sections = [...document.querySelectorAll("section.board")];
    const nothing = document.querySelector("p.nothing");
    const chosen = {};
    const show = (key, name) => {
      chosen[key] = name;
      for (const section of sections) {
        section.hidden = Object.keys(chosen).some((each) => section.dataset[each] !== chosen[each]);
      }
      for (const button of document.querySelectorAll(`.suites button[data-${key}]`)) {
        button.setAttribute("aria-pressed", String(button.dataset[key] === name));
      }
      if (nothing) nothing.hidden = sections.some((section) => !section.hidden);
    };
    for (const bar of document.querySelectorAll(".suites")) {
      const [key] = Object.keys(bar.querySelector("button").dataset);
      bar.hidden = false;
      bar.addEventListener("click", (event) => { if (event.target.dataset[key]) show(key, event.target.dataset[key]); });
      const names = [...bar.querySelectorAll("button")].map((button) => button.dataset[key]);
      const follow = () => {
        const asked = location.hash.replace(`#${key}-`, "");
        if (names.includes(asked)) show(key, asked);
      };
      show(key, names[0]);
      follow();
      addEventListener("hashchange", follow);
    }
  };

  addEventListener("DOMContentLoaded", () => {
    for (const section of document.querySelectorAll("section.board")) wire(section);
    switches();
  });
})();
