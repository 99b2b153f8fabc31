/* Draws a plot that `plotKinds` describes, with Observable Plot as SVG. Everything that belongs to a
   method has its colour and bears its name as data, so that it can be highlighted in all plots at
   once; points are links, so that the keyboard reaches them. */
"use strict";
const plotting = (() => {
  const { colour, shape, swatch } = plotLooks;

  /* A value is [mean, [low, high] of its interval or null, its spread as text]. */
  const number = (data, [mean, , spread]) => mean.toFixed(data.metric.decimals) + (spread ? ` ${spread}` : "");

  const about = (row, lines) =>
    [
      row.title,
      `${row.state}, ${row.shots} ${row.shots === 1 ? "shot" : "shots"}${row.n ? `, n = ${row.n}` : ""}`,
      ...lines,
    ].join("\n");

  const short = (row) => row.title.split(" [")[0].split(" (")[0].replace(" w/o decoupling", "");

  const here = (key) => ({ value: key, scale: null }); // in pixels already

  /* Says of each element of a mark whose it is, and whether it stands back behind others: grey, until
     its method is pointed at or chosen. */
  const owned = (data, options) => ({
    ...options,
    render: (index, scales, values, dimensions, context, next) => {
      const group = next(index, scales, values, dimensions, context);
      if (group) index.forEach((i, k) => {
        const element = group.children[k];
        element.dataset.method = data[i].row.method;
        element.classList.toggle("back", Boolean(data[i].back));
      });
      return group;
    },
  });

  const segments = (lines) => lines.flatMap(({ row, back, at }) => d3.pairs(at).map(([a, b]) => ({ row, back, x1: a[0], y1: a[1], x2: b[0], y2: b[1] })));
  const links = (data, lines, options) => {
    const parts = segments(lines);
    return Plot.link(parts, owned(parts, { x1: here("x1"), y1: here("y1"), x2: here("x2"), y2: here("y2"), stroke: (d) => colour(data, d.row.method), ...options }));
  };

  const dots = (data, points, radius, published) => {
    const own = points.filter((d) => (d.row.state === "published") === published);
    return Plot.dot(own, owned(own, {
      x: here("px"), y: here("py"), symbol: (d) => shape(data, d.row.method), r: radius, strokeWidth: 1.6, className: published ? "hollow" : "filled",
      stroke: (d) => colour(data, d.row.method),
      fill: published ? "var(--page)" : (d) => colour(data, d.row.method),
      href: (d) => data.methods + encodeURIComponent(d.row.method) + ".html",
      ariaLabel: (d) => d.text.replaceAll("\n", ", "),
    }));
  };

  const words = (labels, options) => Plot.text(labels, { x: here("x"), y: here("y"), text: "name", fontSize: 11, stroke: "var(--page)", strokeWidth: 3, ...options });

  /* What is drawn, in pixels: points moved apart where the kind says so. */
  const placed = (plot, sx, sy, radius) => {
    const at = ([x, y]) => [sx(x), sy(y)];
    const points = d3.sort(plot.points, (d) => !d.back).map((d) => ({ ...d, px: sx(d.x), py: sy(d.y) }));
    if (plot.apart) {
      const [along, across] = plot.apart === "x" ? ["py", "px"] : ["px", "py"];
      for (const [, same] of d3.group(points.filter((d) => !d.back), (d) => d[plot.apart])) {
        const lane = Math.min((2 * plot.room) / (same.length - 1), 2 * radius + 1);
        const moves = lane > 1.3 * radius // each row in a lane of its own, else as near as it goes
          ? same.map((_, i) => (i - (same.length - 1) / 2) * lane)
          : plotLayout.apart(same.map((d) => d[along]), radius, plot.room);
        same.forEach((d, i) => { d[across] += moves[i]; });
      }
    }
    const bars = points.flatMap((d) => (d.bars ?? []).map(([a, b]) => ({
      row: d.row,
      back: d.back,
      at: plot.apart === "x" ? [[d.px, sy(a[1])], [d.px, sy(b[1])]] : plot.apart === "y" ? [[sx(a[0]), d.py], [sx(b[0]), d.py]] : [at(a), at(b)],
    })));
    const lines = (plot.joined ? d3.groups(points, plot.joined) : []).map(([, same]) => ({ row: same[0].row, back: same[0].back, at: d3.sort(same, (d) => d.x).map((d) => [d.px, d.py]) }));
    const references = (plot.references ?? []).map((d) => ({ ...d, at: d.line.map(at) }));
    const curves = (plot.curves ?? []).map((d) => ({ ...d, at: d.line.map(at) }));
    return { points, bars, lines, references, curves };
  };

  /* The right ends of lines that do not stand back, each method once, at its best line. */
  const endsOf = (data, lines) => {
    const own = lines.filter(({ back }) => !back).map(({ row, at }) => ({ row, name: short(row), at: at[at.length - 1] }));
    const best = d3.sort(own, ({ at }) => (data.metric.higher ? at[1] : -at[1]));
    return [...d3.group(best, ({ row }) => row.method).values()].map(([line]) => line);
  };

  /* Names: of curves and references on their lines, then of points, best first, each method once. */
  const labels = (data, plot, shown, radius, frame) => {
    const all = [...shown.bars, ...shown.lines, ...shown.references, ...shown.curves].flatMap(({ at }) => plotLayout.along(at));
    const taken = shown.points.map((d) => plotLayout.around([d.px, d.py], radius + 2)).concat(all);
    const onLines = (lines) => lines.flatMap((line) => {
      const found = line.name ? plotLayout.onLine(line.at, line.name, taken, frame) : null;
      if (found) taken.push(found.box);
      return found ? [{ ...found, row: line.row }] : [];
    });
    const references = onLines(shown.references), curves = onLines(shown.curves);
    const best = d3.sort(shown.points, (a, b) => (data.metric.higher ? 1 : -1) * (b.rank - a.rank));
    const first = [...d3.group(best, (d) => d.row.method).values()].map(([d]) => ({ at: [d.px, d.py], name: short(d.row), row: d.row }));
    const names = plot.named ? plotLayout.names(first, taken, frame) : plot.ends ? plotLayout.ends(endsOf(data, shown.lines), radius, plot.ends, frame) : [];
    return { references, curves, names };
  };

  const draw = (data, plot, width) => {
    const height = plot.height ?? Math.round(Math.min(420, Math.max(300, width * 0.62)));
    const margin = { left: 52, right: 16, top: 24, bottom: 40, ...plot.margin };
    const span = { x: [margin.left, width - margin.right], y: [height - margin.bottom, margin.top] };
    const scale = (axis) => (plot[axis].type === "log" ? d3.scaleLog() : d3.scaleLinear()).domain(plot[axis].domain).range(span[axis]);
    const radius = plot.points.length > 60 ? 3.2 : 4.5;
    const shown = placed(plot, scale("x"), scale("y"), radius);
    const frame = { x0: span.x[0] + 2, x1: width - 2, y0: margin.top, y1: span.y[0] - 2 };
    const { references, curves, names } = labels(data, plot, shown, radius, frame);
    const leads = names.filter((d) => d.line).map((d) => ({ row: d.row, at: d.line }));
    const drawn = Plot.plot({
      width,
      height,
      marginLeft: margin.left, marginRight: margin.right, marginTop: margin.top, marginBottom: margin.bottom,
      style: { background: "transparent", fontSize: "12px", overflow: "visible" },
      ariaLabel: plot.label,
      ariaDescription: "The same numbers are in the table above.",
      x: { ...plot.x, range: span.x, nice: false },
      y: { ...plot.y, range: span.y, nice: false },
      symbol: { type: "identity" },
      marks: [
        ...shown.curves.map(({ at }) => Plot.line(at, { x: { value: (d) => d[0], scale: null }, y: { value: (d) => d[1], scale: null }, stroke: "var(--line)", strokeDasharray: "4 3" })),
        words(curves, { fill: "var(--muted)", fontSize: 10 }),
        links(data, shown.references, { strokeWidth: 1.6, strokeDasharray: "6 3", className: "references" }),
        links(data, shown.lines.filter(({ row }) => row.state === "published"), { strokeWidth: 1.6, strokeOpacity: 0.75, strokeDasharray: "5 3" }),
        links(data, shown.lines.filter(({ row }) => row.state !== "published"), { strokeWidth: 1.8 }),
        links(data, shown.bars, { strokeWidth: 1.5, strokeOpacity: 0.6, className: "intervals" }),
        links(data, leads, { strokeWidth: 0.8, strokeOpacity: 0.7 }),
        dots(data, shown.points, radius, true),
        dots(data, shown.points, radius, false),
        words([...references, ...names], owned([...references, ...names], { fill: "currentColor", className: "names" })),
        Plot.tip(shown.points, Plot.pointer({ x: here("px"), y: here("py"), title: "text", fill: "var(--page)", stroke: "var(--line)" })),
      ],
    });
    /* Only what has a role may be named (ARIA 1.2). */
    for (const named of drawn.querySelectorAll("g[aria-label]:not([role])")) named.setAttribute("role", "group");
    return drawn;
  };

  /* One legend for all plots of a section: a button for each method, and what hollow markers are. */
  const legend = (data, rows) => {
    const list = document.createElement("ul");
    list.className = "legend";
    const entry = (...content) => {
      const item = document.createElement("li");
      item.append(...content);
      list.append(item);
      return item;
    };
    const titles = new Map();
    for (const row of rows) {
      const title = short(row);
      if (!titles.has(row.method) || title.length < titles.get(row.method).title.length) titles.set(row.method, { title, row });
    }
    for (const [method, { title, row }] of d3.sort(titles, ([, a], [, b]) => d3.ascending(a.title.toLowerCase(), b.title.toLowerCase()))) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(swatch(colour(data, method), { marker: shape(data, method), hollow: row.state === "published", line: row.reference }), title);
      button.dataset.method = method;
      button.setAttribute("aria-pressed", "false");
      button.style.setProperty("--swatch", colour(data, method));
      entry(button);
    }
    for (const [hollow, text] of [[true, "hollow: from a paper"], [false, "filled: from records"]]) {
      if (rows.some((row) => (row.state === "published") === hollow)) entry(swatch("var(--muted)", { hollow }), text).className = "shape";
    }
    return list;
  };

  return { about, draw, legend, number, short };
})();
