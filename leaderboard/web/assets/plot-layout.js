/* Where things stand in a plot, in pixels: dots of one place side by side, and names where neither a
   dot nor a line nor another name is. */
"use strict";
const plotLayout = (() => {
  const FONT = "11px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";
  const pen = document.createElement("canvas").getContext("2d");

  /* How far dots, which stand at these `places` along a line, move across it so that they do not
     cover each other; where there is no `room` left, the one that covers least. */
  const apart = (places, radius, room) => {
    const near = 2 * radius + 0.5;
    const kept = [];
    const moves = [0];
    for (let move = radius / 2; move <= room; move += radius / 2) moves.push(move, -move);
    const found = new Array(places.length);
    for (const i of d3.sort(d3.range(places.length), (i) => places[i])) {
      const close = kept.filter((k) => Math.abs(k.place - places[i]) < near);
      const gap = (move) => d3.min(close, (k) => Math.hypot(k.place - places[i], k.move - move)) ?? near;
      const move = moves.find((each) => gap(each) >= near) ?? d3.greatest(moves, gap);
      kept.push({ place: places[i], move });
      found[i] = move;
    }
    return found;
  };

  const box = (x, y, width, height) => ({ x0: x, y0: y, x1: x + width, y1: y + height });
  const around = ([x, y], radius) => box(x - radius, y - radius, 2 * radius, 2 * radius);
  const meet = (a, b) => a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
  const inside = (a, b) => a.x0 >= b.x0 && a.x1 <= b.x1 && a.y0 >= b.y0 && a.y1 <= b.y1;

  /* A line as small boxes along it. */
  const along = (line) =>
    d3.pairs(line).flatMap(([a, b]) => {
      const steps = Math.max(1, Math.ceil(Math.hypot(b[0] - a[0], b[1] - a[1]) / 4));
      return d3.range(steps + 1).map((i) => around([a[0] + ((b[0] - a[0]) * i) / steps, a[1] + ((b[1] - a[1]) * i) / steps], 1));
    });

  /* Around a dot: near it first, then further off, where a thin line leads to the name. */
  const rings = [9, 22, 36, 54, 76].flatMap((far) =>
    [[1, 0], [-1, 0], [0.75, -0.75], [0.75, 0.75], [-0.75, -0.75], [-0.75, 0.75], [0, -1.2], [0, 1.2]].map(([x, y]) => [far * x, far * y, far]),
  );

  /* Places for the names of dots, most important first: `dots` are [x, y] with a name, `taken` the
     boxes that must stay free, `frame` the one to stay in. A name without a place is left out; only
     the best three may lie far off, as long lines cross others. */
  const names = (dots, taken, frame) => {
    pen.font = FONT;
    const free = [...taken];
    const near = frame.x1 - frame.x0 < 500 ? 22 : 36;
    return dots.flatMap(({ at, name, ...rest }, i) => {
      const width = pen.measureText(name).width;
      for (const [dx, dy, away] of rings) {
        if (i > 2 && away > near) break;
        const far = away > 9;
        const [x, y] = [at[0] + dx, at[1] + dy];
        const left = Math.abs(dx) < 1 ? x - width / 2 : dx > 0 ? x : x - width;
        const own = box(left - 1, y - 7, width + 2, 14);
        if (!inside(own, frame) || free.some((each) => meet(own, each))) continue;
        free.push(own);
        return [{ ...rest, name, x: left + width / 2, y, line: far ? [at, [Math.max(left, Math.min(left + width, at[0])), y - Math.sign(dy) * (Math.abs(dy) > 1 ? 7 : 0)]] : null }];
      }
      return [];
    });
  };

  /* A place for a name on a line of its own, from its end backwards; null where there is none. */
  const onLine = (line, name, taken, frame) => {
    pen.font = FONT;
    const width = pen.measureText(name).width;
    const spots = d3.pairs([...line].reverse()).flatMap(([a, b]) => d3.range(0, 1, 0.05).map((t) => [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t]));
    for (const [x, y] of spots) {
      for (const middle of [y - 8, y + 8]) {
        const own = box(x - width - 3, middle - 7, width + 3, 14);
        if (inside(own, frame) && !taken.some((each) => meet(own, each))) return { name, x: x - width / 2 - 1, y: middle, box: own };
      }
    }
    return null;
  };

  /* Names at the right ends of lines, in one column from `left` on, as near to their ends as they go
     without touching each other; a thin line leads to each. */
  const ends = (lines, radius, left, frame) => {
    const near = 13;
    const own = d3.sort(lines, ({ at }) => at[1]).map((line) => ({ ...line, y: line.at[1] }));
    own.forEach((line, i) => { if (i) line.y = Math.max(line.y, own[i - 1].y + near); });
    own.reduceRight((below, line) => (line.y = Math.min(line.y, below - near)), frame.y1 + near - 6);
    pen.font = FONT;
    return own.map(({ at, y, name, ...rest }) => ({
      ...rest, name, y, x: left + pen.measureText(name).width / 2, line: [[at[0] + radius + 2, at[1]], [left - 3, y]],
    }));
  };

  /* The width of the longest of these names. */
  const widest = (names) => {
    pen.font = FONT;
    return d3.max(names, (name) => pen.measureText(name).width) ?? 0;
  };

  return { along, apart, around, ends, names, onLine, widest };
})();
