/* How a method looks in every plot: a colour and a marker by its name, the same as in figures (there
   matplotlib's markers, of one area here). Hollow: a number of a paper; filled: of records. */
"use strict";
const plotLooks = (() => {
  const polygon = (corners, turn) => ({
    draw(path, size) {
      const radius = Math.sqrt((2 * size) / (corners * Math.sin((2 * Math.PI) / corners)));
      d3.range(corners).forEach((k) => {
        const angle = turn + (2 * Math.PI * k) / corners;
        path[k ? "lineTo" : "moveTo"](radius * Math.cos(angle), radius * Math.sin(angle));
      });
      path.closePath();
    },
  });
  const turned = (shape, angle) => ({
    draw(path, size) {
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      const at = (step) => (x, y) => path[step](c * x - s * y, s * x + c * y);
      shape.draw({ moveTo: at("moveTo"), lineTo: at("lineTo"), closePath: () => path.closePath() }, size);
    },
  });
  const up = -Math.PI / 2;
  const shapes = {
    o: d3.symbolCircle,
    s: d3.symbolSquare,
    "^": polygon(3, up),
    D: polygon(4, up),
    v: polygon(3, -up),
    P: d3.symbolCross,
    X: turned(d3.symbolCross, Math.PI / 4),
    p: polygon(5, up),
  };

  const colour = (data, method) => `var(${data.colours[method]})`;
  const shape = (data, method) => shapes[data.markers[method]];

  /* A small picture of a marker, for legends; a dashed line for what is a line in plots. */
  const swatch = (paint, { marker = d3.symbolCircle, hollow = false, line = false } = {}) => {
    const picture = d3.create("svg:svg").attr("class", "swatch").attr("width", 14).attr("height", 12).attr("viewBox", "-7 -6 14 12").attr("aria-hidden", "true");
    if (line) picture.append("path").attr("d", "M-7,0H7").attr("stroke", paint).attr("stroke-width", 2).attr("stroke-dasharray", "4 2");
    else picture.append("path").attr("d", d3.symbol(marker, 60)()).attr("fill", hollow ? "none" : paint).attr("stroke", paint).attr("stroke-width", 1.4);
    return picture.node();
  };

  return { colour, shape, swatch };
})();
