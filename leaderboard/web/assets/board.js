/* Wires each board of the page: data, filters, table, side by side, plots, downloads and address;
   and the switches between suites and between metrics. */
"use strict";
(() => {
  const wire = (section, data) => {
    let changed = () => {}; // until everything stands
    let drawn = () => {};
    const table = boardTable(section, data, () => changed(), () => drawn());
    const compare = sideBySide(section, data, () => changed());
    const cards = boardCards(section, table);
    const plots = plotSection(section, data);
    let found = null;
    compare.offer(table.nodes());
    drawn = cards.label;

    /* The sentence of the chosen track; of the first one where none is chosen. */
    const answers = [...section.querySelectorAll(".answer")];
    const answer = (track) => {
      const wanted = answers.find((text) => text.dataset.track === track) ?? (track ? null : answers[0]);
      for (const text of answers) text.hidden = text !== wanted;
    };

    /* Rows of other counts of shots come when they are first asked for. */
    const byId = new Map(data.rows.map((row) => [row.id, row]));
    const asked = new Map(); // by count of shots, a promise that its rows are there
    const complete = (ids) => {
      const counts = new Set(table.missing(ids).map((id) => byId.get(id).shots).filter((count) => !asked.has(count)));
      if (!counts.size) return;
      const there = Promise.all([...counts].map(data.rowsOf)).then((parts) => {
        compare.offer(table.add(parts.join("")));
        filters.apply();
      }).catch((error) => {
        for (const count of counts) asked.delete(count);
        boardFiles.failed(error);
      });
      for (const count of counts) asked.set(count, there);
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
      complete(now.ids);
    });
    /* A row with its differences to the best published in the place of its numbers. */
    const asDifferences = (row) => ({
      ...row,
      cells: row.cells.map((cell, i) => (cell && row.differences[i] != null ? [row.differences[i], null, ""] : null)),
      seeds: null,
    });
    downloads.wire(section, data, async () => {
      await Promise.all(asked.values());
      return {
        what: found.numbers === "difference" ? ", minus the best published" : "",
        rows: table.ids().map((id) => byId.get(id)).map((row) => (found.numbers === "difference" ? asDifferences(row) : row)),
        columns: data.columns.flatMap(({ kind }, i) => (shownKinds[found.columns].includes(kind) ? [i] : [])),
      };
    });

    changed = () => address.write(section, address.viewOf(section, filters, table, compare.chosen));
    changed();
    return { write: () => changed(), show: (view) => address.show(section, view, filters, table, compare) };
  };

  /* One suite and one metric at a time: their numbers never stand beside each other. `shown` hears
     of the section that is, and whether somebody has chosen it just now. */
  const switches = (shown) => {
    const nothing = document.querySelector("p.nothing");
    const chosen = {};
    const show = (key, name) => {
      chosen[key] = name;
      for (const button of document.querySelectorAll(`.suites button[data-${key}]`)) {
        button.setAttribute("aria-pressed", String(button.dataset[key] === name));
      }
    };
    const draw = (byHand) => {
      const sections = [...document.querySelectorAll("section.board")];
      for (const section of sections) {
        section.hidden = Object.keys(chosen).some((each) => section.dataset[each] !== chosen[each]);
      }
      const found = sections.find((section) => !section.hidden);
      if (nothing) nothing.hidden = Boolean(found);
      if (found) shown(found, byHand);
    };
    const follows = [];
    for (const bar of document.querySelectorAll(".suites")) {
      const [key] = Object.keys(bar.querySelector("button").dataset);
      bar.hidden = false;
      bar.addEventListener("click", (event) => {
        if (!event.target.dataset[key]) return;
        show(key, event.target.dataset[key]);
        draw(true);
      });
      const names = [...bar.querySelectorAll("button")].map((button) => button.dataset[key]);
      show(key, names[0]);
      follows.push(() => {
        const asked = address.read()[key] ?? location.hash.replace(`#${key}-`, "");
        if (names.includes(asked)) show(key, asked);
      });
    }
    return () => {
      for (const follow of follows) follow();
      draw(false);
    };
  };

  /* The section of a board with what its file holds. */
  const provided = async (place) => {
    const file = await boardFiles.get(place.dataset.file);
    if (!file.section) return [place, file];
    const made = document.createElement("template");
    made.innerHTML = file.section;
    const section = made.content.firstElementChild;
    section.hidden = place.hidden;
    place.replaceWith(section);
    return [section, file];
  };

  addEventListener("DOMContentLoaded", () => {
    const boards = new Map(); // by file, each once it was shown
    const ready = async (place) => {
      const [own, file] = await provided(place);
      const board = wire(own, boardData(place.dataset.file, file));
      if (address.isFor(own, address.read())) board.show(address.read());
      own.dataset.wired = "yes"; // from now on the address follows
      return board;
    };
    const shown = async (section, byHand) => {
      const name = section.dataset.file;
      if (!boards.has(name)) boards.set(name, ready(section));
      try {
        const board = await boards.get(name);
        if (byHand) board.write();
      } catch (error) {
        boards.delete(name);
        boardFiles.failed(error);
      }
    };
    const follow = switches(shown);
    follow();
    addEventListener("hashchange", async () => {
      const view = address.read();
      follow();
      for (const section of document.querySelectorAll("section.board[data-wired]")) {
        if (address.isFor(section, view)) (await boards.get(section.dataset.file)).show(view);
      }
    });
  });
})();
