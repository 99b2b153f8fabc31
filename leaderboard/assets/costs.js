/* Draws the plots of each table of costs; a table is one device, and so are its plots. */
"use strict";
addEventListener("DOMContentLoaded", () => {
  for (const section of document.querySelectorAll("section.costs")) {
    const data = JSON.parse(section.querySelector("script.data").textContent);
    const colour = plotting.colours(data.rows);
    const plots = section.querySelector(".plots");
    let drawn = 0; // the width the plots were last drawn for
    const draw = () => {
      drawn = plots.clientWidth;
      for (const figure of section.querySelectorAll("figure[data-plot]")) {
        const canvas = figure.querySelector(".canvas");
        const options = plotKinds[figure.dataset.plot](data, data.rows, canvas.clientWidth, colour);
        canvas.replaceChildren(
          ...(options
            ? [plotting.legend(data.rows, colour), Plot.plot(options)]
            : [Object.assign(document.createElement("p"), { textContent: "No row has these numbers.", className: "small" })]),
        );
      }
    };
    new ResizeObserver(() => {
      if (plots.clientWidth && plots.clientWidth !== drawn) requestAnimationFrame(draw);
    }).observe(plots);
  }
});
