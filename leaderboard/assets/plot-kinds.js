/* The plots of a board. Each takes its data, the rows that fit the filters and a width, and returns
   the marks and options for Plot.plot, or null if nothing can be drawn. */
"use strict";
const plotKinds = (() => {
  const { about, number, frame, points } = plotting;

  const scatter = (data, rows, pick) =>
    rows.flatMap((row) => {
      const value = row.values[data.main.key];
      const x = pick(row);
      if (!value || x === null || x <= 0) return [];
      return [{ row, x, y: value[0], spread: value[1], text: "" }];
    });

  const extent = (data, values, room) => {
    const [low, high] = d3.extent(values);
    const pad = Math.max((high - low) * room, 0.005 * data.metric.whole);
    return [low - pad, high + pad];
  };

  const reach = ({ y, spread }) => [y, ...(spread ?? [])];

  const part = ([low, high], value) => (value - low) / (high - low);

  const baseNew = (data, rows, width, colour) => {
    const found = rows.flatMap((row) => {
      const [b, n, hm] = [data.base, data.new, data.main.key].map((key) => row.values[key]);
      if (!b || !n) return [];
      const lines = [`base ${number(data, b)}`, `new ${number(data, n)}`, ...(hm && data.metric.harmonic ? [`HM ${number(data, hm)}`] : [])];
      return [{ row, x: b[0], y: n[0], spread: n[1], text: about(row, lines) }];
    });
    if (!found.length) return null;
    const xs = extent(data, found.map((d) => d.x), 0.18);
    const ys = extent(data, found.flatMap(reach), 0.12);
    return frame(width, `Base against new ${data.metric.short}`, {
      x: { label: "base →", domain: xs, nice: false },
      y: { label: "↑ new", domain: ys, nice: false },
      grid: false,
      marks: [...(data.metric.harmonic ? isoCurves(xs, ys) : []), ...points(found, { colour, label: (d) => [part(xs, d.x), part(ys, d.y)] })],
    });
  };

  /* new = h b / (2 b - h): the points with harmonic mean h. */
  const isoCurves = ([x0, x1], [y0, y1]) => {
    const hm = (b, n) => (2 * b * n) / (b + n);
    const curves = d3.ticks(hm(x0, y0), hm(x1, y1), 7).map((h) => ({
      h,
      points: d3.range(x0, x1 + 1e-9, (x1 - x0) / 80)
        .filter((b) => 2 * b > h)
        .map((b) => ({ b, n: (h * b) / (2 * b - h) }))
        .filter(({ n }) => n >= y0 && n <= y1),
    })).filter((curve) => curve.points.length > 1);
    const ends = curves
      .map(({ h, points: p }) => ({ h, ...p[p.length - 1] }))
      .filter(({ b }) => part([x0, x1], b) > 0.2);
    return [
      ...curves.map((curve) => Plot.line(curve.points, { x: "b", y: "n", stroke: "var(--line)", strokeDasharray: "4 3" })),
      Plot.text(ends, { x: "b", y: "n", text: (d) => `HM ${d.h}`, dx: 2, dy: -6, textAnchor: "end", fill: "var(--muted)", fontSize: 10 }),
    ];
  };

  const shots = (data, rows, width, colour) => {
    const found = scatter(data, rows, (row) => row.shots).map((d) => ({
      ...d,
      text: about(d.row, [`${data.main.label} ${number(data, d.row.values[data.main.key])}`]),
    }));
    if (!found.length) return null;
    const lines = d3.groups(found, (d) => `${d.row.title}|${d.row.state}|${d.row.backbone}|${d.row.source}`);
    return frame(width, `${data.main.label} over shots`, {
      x: { label: "images per class →", type: "log", base: 2, ticks: data.shots, tickFormat: "d" },
      y: { label: `↑ ${data.main.label}${data.metric.unit}`, nice: true },
      marks: [
        ...lines.map(([, line]) => Plot.line(d3.sort(line, (d) => d.x), { x: "x", y: "y", stroke: colour.get(line[0].row.method), strokeDasharray: line[0].row.state === "published" ? "5 3" : null, strokeWidth: 1.8 })),
        ...points(found, { colour }),
      ],
    });
  };

  /* Where rows of several counts of shots are shown, only the largest: others would blur it. */
  const most = (rows) => rows.filter((row) => row.shots === d3.max(rows, (r) => r.shots));

  const datasets = (data, rows, width, colour) => {
    const found = most(rows).flatMap((row) =>
      data.datasets.flatMap(({ key, label }) => {
        const value = row.values[key];
        if (!value) return [];
        return [{ row, x: value[0], y: label, spread: value[1], text: about(row, [`${label} ${number(data, value)}`]) }];
      }),
    );
    if (!found.length) return null;
    const names = data.datasets.map((d) => d.label).filter((name) => found.some((d) => d.y === name));
    return frame(width, `${data.metric.title} per dataset`, {
      height: 70 + 34 * names.length,
      marginLeft: 112,
      x: { label: `${data.metric.label} →`, nice: true },
      y: { label: null, domain: names, type: "point" },
      marks: points(found, { colour, interval: "x" }),
    });
  };

  const against = (pick, label, tickFormat, what) => (data, rows, width, colour) => {
    const found = scatter(data, most(rows), pick).map((d) => ({
      ...d,
      text: about(d.row, [`${data.main.label} ${number(data, d.row.values[data.main.key])}`, what(d.x)]),
    }));
    if (!found.length) return null;
    const [low, high] = d3.extent(found, (d) => d.x);
    const xs = [low / 1.6, high * 1.6];
    const ys = extent(data, found.flatMap(reach), 0.05);
    return frame(width, `${data.main.label} against ${label}`, {
      x: { label: `${label} →`, type: "log", domain: xs, ticks: width < 420 ? 4 : 6, tickFormat },
      y: { label: `↑ ${data.main.label}${data.metric.unit}`, nice: true },
      marks: points(found, {
        colour,
        label: (d) => [part(xs.map(Math.log), Math.log(d.x)), part(ys, d.y)],
      }),
    });
  };

  return {
    "base-new": baseNew,
    shots,
    datasets,
    parameters: against((row) => row.parameters, "learned parameters", "~s", (x) => `${x.toLocaleString("en")} parameters`),
    memory: against((row) => row.memory, "peak memory in MiB", "~s", (x) => `${x.toLocaleString("en", { maximumFractionDigits: 0 })} MiB`),
    throughput: against((row) => row.throughput, "test images per second", "~s", (x) => `${x.toLocaleString("en", { maximumSignificantDigits: 3 })} images per second`),
    time: against((row) => row.seconds, "seconds of training", "~g", (x) => `${x.toFixed(1)} s`),
  };
})();
