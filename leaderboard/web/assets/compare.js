/* Methods side by side: boxes to choose rows of the table, and the panel of their differences. */
"use strict";
const sideBySide = (section, data, changed) => {
  const panel = section.querySelector("section.compare");
  const byId = new Map(data.rows.map((row) => [row.id, row]));
  const boxes = new Map();
  let chosen = [];

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const number = (value) => value.toFixed(data.metric.decimals);
  const signed = (value) => (value < 0 ? "" : "+") + number(value);
  const pText = (p) => (p === null || p === undefined ? "—" : p < 0.001 ? "<0.001" : p.toFixed(3));
  const source = (row) => `${row.provenance}, ${row.shots} ${row.shots === 1 ? "shot" : "shots"}${row.n ? `, n = ${row.n}` : ""}`;

  const spreadText = (spread) => {
    if (!spread) return "";
    if (spread.kind === "interval") return ` ±${number(spread.half)}`;
    const [low, high] = spread.ends.map(signed);
    return spread.kind === "cut" ? ` [${low}, ${high}]` : ` (${low} to ${high})`;
  };

  const difference = (entry) => {
    if (entry.difference === null) return element("td", { textContent: "—" });
    const made = element("td", { className: "sign", textContent: signed(entry.difference) });
    markSign(made, entry.difference, data.metric);
    made.append(element("small", { textContent: spreadText(entry.spread) }));
    return made;
  };

  const rowOf = (entry) => {
    const { label, parts } = data.columns[entry.column];
    const significant = entry.holm !== null && entry.holm <= 0.05;
    const cells = [
      number(entry.a),
      number(entry.b),
      difference(entry),
      entry.n || "",
      pText(entry.p),
      pText(entry.holm) + (significant ? " *" : ""),
      parts.length && entry.across ? `${pText(entry.across.p)} (${entry.across.n})` : "",
    ].map((cell) => (cell instanceof Node ? cell : element("td", { textContent: cell })));
    return element("tr", { className: data.columns[entry.column].kind }, element("th", { scope: "row", textContent: label }), ...cells);
  };

  const titled = (name, row) => element("p", { className: "small" }, `${name}: ${row.title} (${source(row)})`);

  /* What computes the same; rows of two presets, or with changed settings, have no name in one
     command. */
  const command = (a, b) => {
    const named = (row) => [row.method, ...(row.inference === "unified" ? [] : [row.inference]), ...(row.selection ? [row.selection] : [])].join(":");
    const presets = [...new Set([a, b].filter((row) => row.settings?.length !== 0).map((row) => row.preset))];
    if (presets.length > 1 || a.changed || b.changed) return "promptbench compare A B, of two folders that hold the records of one row each (the methods' pages have them),";
    const options = [`--protocol ${data.protocol}`, `--suite ${data.suite}`, ...(data.shots.length > 1 ? [`--shots ${a.shots}`] : []), ...(presets.length && presets[0] !== "paper" ? [`--preset ${presets[0]}`] : [])];
    return `promptbench compare ${named(a)} ${named(b)} ${options.join(" ")}`;
  };

  const settingsOf = (row) => `${(row.settings ?? ["paper"]).map((each) => (each.includes(": ") ? each : `${each} settings`)).join(" and ") || "no settings"}, epoch by ${row.rule}`;

  const pairOf = (a, b, kinds) => {
    const { why, whole, entries } = pairs.compare(data, a, b);
    const shown = entries.filter((entry) => kinds.includes(data.columns[entry.column].kind));
    const heads = ["", "A", "B", "A − B", "n", "p", "Holm", "over datasets"];
    const table = element("table", {},
      element("caption", { textContent: `A: ${a.title}, B: ${b.title}` }),
      element("thead", {}, element("tr", {}, ...heads.map((text) => element(text ? "th" : "td", text ? { scope: "col", textContent: text } : {})))),
      element("tbody", {}, ...shown.map(rowOf)),
    );
    const notes = [];
    if (why) notes.push(`${why}.`);
    if (a.track !== b.track) notes.push(`Other tracks: A may learn from what "${a.track}" says, B "${b.track}".`);
    else if (a.state !== "published" && b.state !== "published" && !pairs.alike(a, b)) {
      notes.push(`They share no ranking. A: ${settingsOf(a)}; B: ${settingsOf(b)}.`);
    }
    if (!why) {
      const tests = entries.filter((entry) => entry.p !== null).length;
      const at = data.shots.length > 1 ? ` at ${a.shots} ${a.shots === 1 ? "shot" : "shots"}` : "";
      const family = whole
        ? `Holm: adjusted for the ${tests} columns of these two rows${at} that have one, shown or not, * ≤ 0.05`
        : "Holm: not adjusted, as one of the columns' tests is missing";
      notes.push(`p: two-sided paired t-test over n common seeds; ${family}; over datasets: exact signed-rank test on the datasets' differences (how many are not zero), not adjusted.`);
      notes.push(`${command(a, b)} computes the same and also gives intervals over test images.`);
      if (entries.some((entry) => entry.difference === null)) {
        notes.push("—: the rows share only some seeds, and this number (of means, such as HM) cannot be had from those here; promptbench compare computes it.");
      }
    }
    if (!data.metric.higher) notes.push("Lower is better: where A − B is negative, A is the better one.");
    return element("div", { className: "pair-of-rows" }, titled("A", a), titled("B", b),
      element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: `${a.title} against ${b.title}` }, table),
      ...notes.map((text) => element("p", { className: "small", textContent: text })));
  };

  let kinds = ["average", "main"];
  const draw = () => {
    for (const [id, box] of boxes) box.checked = chosen.includes(id);
    panel.hidden = !chosen.length;
    if (!chosen.length) return panel.replaceChildren();
    if (chosen.length > 1 && !data.isScored()) return void data.withScores().then(draw, boardFiles.failed);
    const rows = chosen.map((id) => byId.get(id));
    const [first, ...others] = rows;
    const clear = element("button", { type: "button", textContent: "Choose none" });
    clear.addEventListener("click", () => choose([]));
    const head = element("h3", { textContent: "Side by side" });
    const told = others.length
      ? `${first.title} against ${others.map((row) => row.title).join(", ")}`
      : `${first.title} is chosen; choose a second row to compare it with.`;
    const families = others.length > 1 ? [element("p", { className: "small", textContent: "Each pair is a family of tests of its own: the more pairs are looked at, the more stars are chance." })] : [];
    panel.replaceChildren(head, element("p", { ariaLive: "polite" }, `${told} `, clear), ...families, ...others.map((row) => pairOf(first, row, kinds)));
  };

  const choose = (ids) => {
    chosen = ids.filter((id) => byId.has(id));
    draw();
    changed();
  };

  /* A box in each of these rows of the table. */
  const offer = (rows) => {
    for (const { id, cells } of rows) {
      const row = byId.get(id);
      const box = element("input", { type: "checkbox", checked: chosen.includes(id), ariaLabel: `compare ${row.title}, ${row.provenance}`, title: "compare side by side" });
      box.addEventListener("change", () => choose(box.checked ? [...chosen, id] : chosen.filter((other) => other !== id)));
      [...cells].find((cell) => cell.scope === "row").prepend(box);
      boxes.set(id, box);
    }
  };

  return {
    offer,
    get chosen() { return chosen; },
    choose,
    columns(shown) {
      kinds = shown;
      draw();
    },
  };
};
