/* The plots of one section: drawn at the width they find, for the rows that are shown, under one
   legend; a method under the mouse or the focus stands out in all of them, and stays so after a
   click on its name. */
"use strict";
const plotSection = (section, data) => {
  const plots = section.querySelector(".plots");
  const figures = [...plots.querySelectorAll("figure[data-plot]")];
  const pinned = new Set();
  const overShots = new Set(["shots"]); // of all counts of shots, whatever else is shown
  let rows = data.rows;
  let everyShots = data.rows;
  let drawn = 0; // the width the plots were last drawn for
  let legend = null;

  const nothing = () => Object.assign(document.createElement("p"), { textContent: "No row has these numbers.", className: "small" });

  const light = (over) => {
    const chosen = over ? new Set([...pinned, over]) : pinned;
    plots.classList.toggle("focused", chosen.size > 0);
    for (const each of plots.querySelectorAll("[data-method]")) each.classList.toggle("chosen", chosen.has(each.dataset.method));
    for (const button of legend?.querySelectorAll("button") ?? []) {
      button.setAttribute("aria-pressed", String(pinned.has(button.dataset.method)));
    }
  };

  const drawFigure = (figure) => {
    const canvas = figure.querySelector(".canvas");
    const kind = figure.dataset.plot;
    const plot = plotKinds[kind](data, overShots.has(kind) ? everyShots : rows, canvas.clientWidth, [...pinned]);
    canvas.replaceChildren(plot ? plotting.draw(data, plot, canvas.clientWidth) : nothing());
  };

  const draw = (found = rows, ofAll = found === rows ? everyShots : found) => {
    rows = found;
    everyShots = ofAll;
    drawn = plots.clientWidth;
    if (!drawn || !figures.length) return; // not shown
    figures.forEach(drawFigure);
    const made = plotting.legend(data, rows);
    if (legend) legend.replaceWith(made); else plots.before(made);
    legend = made;
    const shown = new Set(rows.map((row) => row.method));
    for (const method of pinned) if (!shown.has(method)) pinned.delete(method);
    light();
  };

  const named = (event) => event.target.closest?.("[data-method]")?.dataset.method;
  for (const [type, over] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
    section.addEventListener(type, (event) => {
      if (plots.contains(event.target) || legend?.contains(event.target)) light(over ? named(event) : undefined);
    });
  }
  section.addEventListener("click", (event) => {
    const method = legend?.contains(event.target) && named(event);
    if (!method) return;
    if (!pinned.delete(method)) pinned.add(method);
    for (const figure of figures) if (figure.querySelector(".back")) drawFigure(figure);
    light();
  });
  new ResizeObserver(() => {
    if (plots.clientWidth && plots.clientWidth !== drawn) requestAnimationFrame(() => draw());
  }).observe(plots);
  return { draw };
};
