/* The plots there are. Each takes its data, the rows that fit the filters and a width, and says what
   stands where, in the units of its axes, for `plotting.draw`; null if nothing can be drawn.

   `points` have a row, x, y, the ends of their intervals as `bars`, and what a tip says; `apart`: the
   axis of places at which points stand side by side, with `room` in pixels for that; `references`
   are lines of what a protocol compares with, zero-shot; `named`: points bear their method's name;
   `ends`: lines do, from this pixel on; what stands `back` behind others is grey. */
"use strict";
const COLOURED = 10; // methods, where more would hide each other
const CROWD = 80; // methods, of which that holds where each is one point with its name

const plotKinds = (() => {
  const { about, number, short } = plotting;

  /* From the least to the most of what is drawn, with some room, and never beyond what can be. */
  const range = (data, values, room = 0.06) => {
    const [low, high] = d3.extent(values);
    const pad = Math.max((high - low) * room, 0.004 * (data.metric.whole ?? 1));
    const [least, most] = data.metric.bounds ?? [null, null];
    return [Math.max(low - pad, least ?? -Infinity), Math.min(high + pad, most ?? Infinity)];
  };

  const main = (data, row) => row.values[data.main.key];
  const reach = ([mean, interval]) => [mean, ...(interval ?? [])];
  const rank = (data, row) => main(data, row)?.[0] ?? (data.metric.higher ? -Infinity : Infinity);
  const told = (data, row) => `${data.main.label} ${number(data, main(data, row))}`;
  const label = (data) => `↑ ${data.main.label}${data.metric.unit}`;

  /* Lines across the plot at what zero-shot rows reach; each method's values once. */
  const across = (data, rows, xs) => {
    const found = new Map();
    for (const row of rows) {
      const value = row.reference && main(data, row);
      if (value) found.set(`${row.method} ${row.backbone} ${value[0].toFixed(data.metric.decimals)}`, { row, y: value[0] });
    }
    const seen = new Set();
    return d3.sort(found.values(), (d) => -d.y).map(({ row, y }) => {
      const name = seen.has(row.title) ? null : `${row.title} ${y.toFixed(data.metric.decimals)}`;
      seen.add(row.title);
      return { row, y, line: xs.map((x) => [x, y]), name };
    });
  };

  /* Points of the main column at what `pick` takes as x, which is on a logarithmic axis. */
  const scatter = (data, rows, pick, lines) =>
    rows.flatMap((row) => {
      const value = main(data, row);
      const x = pick(row);
      if (!value || row.reference || x === null || x === undefined || x <= 0) return [];
      return [{ row, x, y: value[0], rank: rank(data, row), reach: reach(value), bars: value[1] ? [value[1].map((y) => [x, y])] : [], text: about(row, lines(row, x)) }];
    });

  const widened = (values, factor) => {
    const [low, high] = d3.extent(values);
    return [low / factor, high * factor];
  };

  const baseNew = (data, rows, width, chosen) => {
    const found = rows.flatMap((row) => {
      const [b, n, hm] = [data.base, data.new, data.main.key].map((key) => row.values[key]);
      if (!b || !n) return [];
      const lines = [`base ${number(data, b)}`, `new ${number(data, n)}`, ...(hm && data.metric.harmonic ? [`HM ${number(data, hm)}`] : [])];
      const bars = [...(n[1] ? [n[1].map((y) => [b[0], y])] : []), ...(b[1] ? [b[1].map((x) => [x, n[0]])] : [])];
      return [{ row, x: b[0], y: n[0], b, n, bars, rank: rank(data, row), text: about(row, lines) }];
    });
    if (!found.length) return null;
    const points = withBack(data, found, chosen, CROWD);
    const xs = range(data, points.flatMap((d) => reach(d.b)));
    const ys = range(data, points.flatMap((d) => reach(d.n)));
    const zero = d3.groups(points.filter((d) => d.row.reference), (d) => `${d.row.method} ${d.x} ${d.y}`).map(([, [d]]) => d);
    return {
      label: `Base against new ${data.metric.short}`,
      x: { label: "base →", domain: xs },
      y: { label: "↑ new", domain: ys },
      points,
      named: true,
      references: zero.flatMap(({ row, x, y }) => [{ row, line: [[xs[0], y], [x, y]] }, { row, line: [[x, ys[0]], [x, y]] }]),
      curves: data.metric.harmonic ? isoCurves(xs, ys) : [],
    };
  };

  /* new = h b / (2 b - h): the points with harmonic mean h. */
  const isoCurves = ([x0, x1], [y0, y1]) => {
    const hm = (b, n) => (2 * b * n) / (b + n);
    return d3.ticks(hm(x0, y0), hm(x1, y1), 5).map((h) => ({
      name: `HM ${h}`,
      line: d3.range(x0, x1 + 1e-9, (x1 - x0) / 80)
        .filter((b) => 2 * b > h)
        .map((b) => [b, (h * b) / (2 * b - h)])
        .filter(([, n]) => n >= y0 && n <= y1),
    })).filter(({ line }) => line.length > 1);
  };

  /* Where rows of several counts of shots are shown, only the largest: others would blur it. */
  const most = (rows) => rows.filter((row) => row.shots === d3.max(rows, (r) => r.shots));

  /* Of many methods the best, at the largest count of shots that is shown, and those that somebody
     chose; the others stand back. */
  const withBack = (data, points, chosen, above = COLOURED) => {
    const own = d3.rollup(most(points.map(({ row }) => row)), (same) => d3.max(same, (row) => rank(data, row) * (data.metric.higher ? 1 : -1)), (row) => row.method);
    const best = d3.sort(own, ([, value]) => -value).slice(0, COLOURED).map(([method]) => method);
    const front = new Set([...best, ...chosen]);
    const methods = new Set(points.map(({ row }) => row.method));
    return methods.size > above ? points.map((d) => ({ ...d, back: !front.has(d.row.method) })) : points;
  };

  /* What has one count of shots only says nothing over shots, where others have several. */
  const overSeveral = (points) => {
    const counts = d3.rollup(points, (same) => new Set(same.map((d) => d.x)).size, (d) => d.row.method);
    const own = points.filter((d) => counts.get(d.row.method) > 1);
    return own.length ? own : points;
  };

  const shots = (data, rows, width, chosen) => {
    const found = overSeveral(scatter(data, rows, (row) => row.shots, (row) => [told(data, row)]));
    if (!found.length) return null;
    const points = withBack(data, found, chosen);
    const counts = data.shots.filter((count) => points.some((d) => d.x === count));
    const xs = counts.length > 1 ? [counts[0] / 1.2, d3.max(counts) * 1.1] : widened(counts, 2);
    const references = across(data, rows, xs);
    const right = Math.min(0.45 * width, 22 + plotLayout.widest(points.flatMap((d) => (d.back ? [] : [short(d.row)]))));
    const closest = d3.min(d3.pairs(counts), ([a, b]) => Math.log(b / a)) ?? Infinity;
    const step = (closest / Math.log(xs[1] / xs[0])) * (width - 52 - right);
    return {
      label: `${data.main.label} over shots`,
      margin: { right },
      x: { label: "images per class →", type: "log", domain: xs, ticks: counts, tickFormat: String },
      y: { label: label(data), domain: range(data, [...points.flatMap((d) => d.reach), ...references.map((d) => d.y)]), grid: true },
      points,
      apart: points.some((d) => d.bars.length) ? "x" : null, // intervals must not cover each other; the counts of shots stay what they are
      room: Math.min(12, step / 2 - 6),
      joined: (d) => `${d.row.title}|${d.row.state}|${d.row.backbone}|${d.row.source}`,
      ends: width - right + 14,
      references,
    };
  };

  const datasets = (data, rows, width, chosen) => {
    const own = most(rows);
    const shown = data.datasets.filter(({ key }) => own.some((row) => row.values[key]));
    const cells = shown.flatMap(({ key, label }, y) => own.flatMap((row) => (row.values[key] ? [{ row, y, label, value: row.values[key] }] : [])));
    if (!cells.length) return null;
    const points = withBack(data, cells.filter((d) => !d.row.reference).map(({ row, y, label, value }) => ({
      row, x: value[0], y, rank: rank(data, row), bars: value[1] ? [value[1].map((x) => [x, y])] : [],
      text: about(row, [`${label} ${number(data, value)}`]),
    })), chosen);
    const crowd = d3.max(d3.rollup(points, (same) => same.length, (d) => d.y).values()) ?? 1;
    const band = Math.min(56, Math.max(36, 7 * crowd + 10));
    return {
      label: `${data.metric.title} per dataset`,
      height: 70 + band * shown.length,
      margin: { left: 112 },
      x: { label: `${data.metric.label} →`, domain: range(data, cells.flatMap((d) => reach(d.value))), grid: true },
      y: { label: null, domain: [shown.length - 0.5, -0.5], ticks: d3.range(shown.length), tickFormat: (i) => shown[i]?.label ?? "", tickSize: 0 },
      points,
      apart: "y",
      room: band / 2 - 5,
      references: cells.filter((d) => d.row.reference).map(({ row, y, value }) => ({ row, line: [[value[0], y - 0.4], [value[0], y + 0.4]] })),
    };
  };

  const against = (pick, name, tickFormat, what) => (data, rows, width, chosen) => {
    const own = most(rows);
    const points = withBack(data, scatter(data, own, pick, (row, x) => [told(data, row), what(x)]), chosen, CROWD);
    if (!points.length) return null;
    const xs = widened(points.map((d) => d.x), 1.6);
    const references = across(data, own, xs);
    return {
      label: `${data.main.label} against ${name}`,
      x: { label: `${name} →`, type: "log", domain: xs, ticks: width < 420 ? 4 : 6, tickFormat, grid: true },
      y: { label: label(data), domain: range(data, [...points.flatMap((d) => d.reach), ...references.map((d) => d.y)]), grid: true },
      points,
      named: true,
      references,
    };
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
