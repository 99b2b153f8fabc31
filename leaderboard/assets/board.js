/* Wires each board of the page: data, filters, table, side by side, plots, downloads and address;
   and the switches between suites and between metrics. */
"use strict";
(() => {
  const wire = (section) => {
    const data = boardData(section);
    let changed = () => {}; // until everything stands
    const table = boardTable(section, data, () => changed());
    const compare = sideBySide(section, data, () => changed());
    const cards = boardCards(section, table);
    const plots = plotSection(section, data);
    let found = null;

    /* The sentence of the chosen track; of the first one where none is chosen. */
    const answers = [...section.querySelectorAll(".answer")];
    const answer = (track) => {
      const wanted = answers.find((text) => text.dataset.track === track) ?? (track ? null : answers[0]);
      for (const text of answers) text.hidden = text !== wanted;
    };

    const filters = boardFilters(section, data.rows, (now) => {
      found = now;
      table.columns(now.columns);
      table.numbers(now.numbers);
      table.rows(now.ids);
      compare.columns(shownKinds[now.columns]);
      cards.draw();
      answer(now.track);
      plots.draw(now.rows, now.everyShots);
      changed();
    });
    const byId = new Map(data.rows.map((row) => [row.id, row]));
    /* A row with its differences to the best published in the place of its numbers. */
    const asDifferences = (row) => ({
      ...row,
      cells: row.cells.map((cell, i) => (cell && row.differences[i] != null ? [row.differences[i], null, ""] : null)),
      seeds: null,
    });
    downloads.wire(section, data, () => ({
      what: found.numbers === "difference" ? ", minus the best published" : "",
      rows: table.ids().map((id) => byId.get(id)).map((row) => (found.numbers === "difference" ? asDifferences(row) : row)),
      columns: data.columns.flatMap(({ kind }, i) => (shownKinds[found.columns].includes(kind) ? [i] : [])),
    }));

    changed = () => address.write(section, address.viewOf(section, filters, table, compare.chosen));
    changed();
    return { write: () => changed(), show: (view) => address.show(section, view, filters, table, compare) };
  };

  /* One suite and one metric at a time: their numbers never stand beside each other. */
  const switches = (switched) => {
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
      bar.addEventListener("click", (event) => { 
        if (!event.target.dataset[key]) return;
        show(key, event.target.dataset[key]);
        switched();
      });
      const names = [...bar.querySelectorAll("button")].map((button) => button.dataset[key]);
      const follow = () => {
        const asked = address.read()[key] ?? location.hash.replace(`#${key}-`, "");
        if (names.includes(asked)) show(key, asked);
      };
      show(key, names[0]);
      follow();
      addEventListener("hashchange", follow);
    }
  };

  addEventListener("DOMContentLoaded", () => {
    const views = new Map();
    for (const section of document.querySelectorAll("section.board")) views.set(section, wire(section));
    const write = () => { for (const [section, view] of views) if (!section.hidden) view.write(); };
    switches(write);
    const follow = () => {
      const view = address.read();
      for (const [section, board] of views) if (address.isFor(section, view)) board.show(view);
    };
    follow();
    addEventListener("hashchange", follow);
    for (const section of views.keys()) section.dataset.wired = "yes"; // from now on the address follows
  });
})();
