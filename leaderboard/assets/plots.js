/* What all plots share: colours, symbols, text of a point, size. Drawn by Observable Plot as SVG,
   with names as text nodes; points are links, so that the keyboard reaches them. */
"use strict";
const plotting = (() => {
  const palette = Array.from({ length: 12 }, (_, i) => `var(--m${i})`);
  const states = ["published", "reported", "consistent", "verified", "recomputed"];
  const symbols = { published: "circle", reported: "triangle", consistent: "square", verified: "diamond", recomputed: "star" };

  /* One colour per method, the same in every plot of a board, whatever is filtered. */
  const colours = (rows) => {
    const names = [...new Set(rows.map((row) => row.method))].sort();
    return new Map(names.map((name, i) => [name, palette[i % palette.length]]));
  };

  /* A value is [mean, [low, high] or null, that spread as text]. */
  const number = (data, [mean, , spread]) => mean.toFixed(data.metric.decimals) + (spread ? ` ${spread}` : "");

  const about = (row, lines) =>
    [
      row.title,
      `${row.state}, ${row.shots} ${row.shots === 1 ? "shot" : "shots"}${row.n ? `, n = ${row.n}` : ""}`,
      ...lines,
    ].join("\n");

  const href = (row) => `../methods/${encodeURIComponent(row.method)}.html`;

  /* Points as dots (papers' hollow), spreads as bars, a tip at the nearest one. */
  const points = (data, { colour, interval = "y", label = null }) => {
    const shared = {
      x: "x",
      y: "y",
      symbol: (d) => symbols[d.row.state],
      stroke: (d) => colour.get(d.row.method),
      href: (d) => href(d.row),
      ariaLabel: (d) => d.text.replaceAll("\n", ", "),
      strokeWidth: 1.6,
      r: 4.5,
    };
    const ours = data.filter((d) => d.row.state !== "published");
    const bars = ours.filter((d) => d.spread !== null);
    const bar = interval === "x"
      ? Plot.ruleY(bars, { y: "y", x1: (d) => d.spread[0], x2: (d) => d.spread[1], stroke: shared.stroke, strokeOpacity: 0.6, clip: true })
      : Plot.ruleX(bars, { x: "x", y1: (d) => d.spread[0], y2: (d) => d.spread[1], stroke: shared.stroke, strokeOpacity: 0.6, clip: true });
    return [
      bar,
      Plot.dot(data.filter((d) => d.row.state === "published"), { ...shared, fill: "var(--page)" }),
      Plot.dot(ours, { ...shared, fill: shared.stroke }),
      label ? names(data, label, "start") : null,
      label ? names(data, label, "end") : null,
      Plot.tip(data, Plot.pointer({ x: "x", y: "y", title: "text", fill: "var(--page)", stroke: "var(--line)" })),
    ].filter(Boolean);
  };

  /* The highest point of each method bears its name, right of it or, near the edge, left of it;
     where two names would overlap, the legend and the tip say the lower one's. `place` gives a
     point's position as a part of width and height. */
  const named = (data, place) => {
    const kept = [];
    const seen = new Set();
    for (const d of d3.sort(data, (a, b) => b.y - a.y)) {
      const name = d.row.title.split(" (")[0];
      const [x, y] = place(d);
      const crowded = kept.some((k) => Math.abs(k.at[1] - y) < 0.05 && Math.abs(k.at[0] - x) < 0.32);
      if (seen.has(name) || crowded) continue;
      seen.add(name);
      kept.push({ ...d, name, at: [x, y], side: x > 0.66 ? "end" : "start" });
    }
    return kept;
  };

  const names = (data, place, side) =>
    Plot.text(named(data, place).filter((d) => d.side === side), {
      x: "x", y: "y", text: "name", dx: side === "start" ? 9 : -9, textAnchor: side,
      fill: "currentColor", fontSize: 11, stroke: "var(--page)", strokeWidth: 3,
    });

  const legend = (rows, colour) => {
    const list = document.createElement("ul");
    list.className = "legend";
    const titles = new Map();
    for (const row of rows) {
      const short = row.title.split(" (")[0].replace(" w/o decoupling", "");
      if (!titles.has(row.method) || short.length < titles.get(row.method).length) titles.set(row.method, short);
    }
    for (const [method, title] of titles) {
      const item = document.createElement("li");
      item.textContent = title;
      item.style.setProperty("--swatch", colour.get(method));
      list.append(item);
    }
    for (const state of states.filter((s) => rows.some((row) => row.state === s))) {
      const item = document.createElement("li");
      item.textContent = `${{ published: "○", reported: "▲", consistent: "■", verified: "◆", recomputed: "★" }[state]} ${state}`;
      item.className = "shape";
      list.append(item);
    }
    return list;
  };

  const frame = (width, label, options) => ({
    width,
    height: Math.round(Math.min(420, Math.max(300, width * 0.62))),
    marginLeft: 48,
    marginBottom: 40,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    ariaLabel: label,
    ariaDescription: "The same numbers are in the table above.",
    grid: true,
    ...options,
  });

  return { about, colours, frame, legend, number, points };
})();
