/* Downloads of what a board shows: its rows in their order and its columns, as CSV, JSON or LaTeX,
   and the BibTeX entries of the methods in these rows. */
"use strict";
const downloads = (() => {
  const FACTS = ["title", "method", "provenance", "source", "track", "backbone", "preset", "inference", "shots", "n"];

  /* Where a column has spreads, their ends have columns of their own. */
  const hasSpread = (rows, i) => rows.some((row) => row.cells[i]?.[1]);

  /* Text within quotes where it must be; a spreadsheet shall not take a name for a formula. */
  const quoted = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csv = (data, rows, columns, what) => {
    const wide = columns.flatMap((i) => {
      const label = data.columns[i].label + what;
      return hasSpread(rows, i) ? [label, `${label}, low`, `${label}, high`] : [label];
    });
    const lines = rows.map((row) => [
      ...FACTS.map((name) => row[name]),
      ...columns.flatMap((i) => {
        const [mean, ends] = row.cells[i] ?? [null, null];
        return hasSpread(rows, i) ? [mean, ends?.[0], ends?.[1]] : [mean];
      }),
    ]);
    return [[...FACTS, ...wide], ...lines].map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  };

  const json = (data, rows, columns, what) =>
    JSON.stringify({
      protocol: data.protocol,
      suite: data.suite,
      metric: data.metric.name,
      address: address.here(),
      rows: rows.map((row) => ({
        ...Object.fromEntries(FACTS.map((name) => [name, row[name]])),
        rank: row.rank,
        numbers: Object.fromEntries(columns.flatMap((i) => {
          const value = row.cells[i];
          if (!value) return [];
          const seeds = row.seeds && Object.fromEntries(row.seeds.flatMap((seed, at) => (row.scores[i]?.[at] == null ? [] : [[seed, row.scores[i][at]]])));
          return [[data.columns[i].label + what, { mean: value[0], spread: value[1], ...(seeds ? { by_seed: seeds } : {}) }]];
        })),
      })),
    }, null, 1);

  /* Entries of the methods' papers and of those that the numbers are printed in, each once; of
     promptbench where it computed a row. */
  const bibtex = (rows) => {
    const { works, methods, papers, suite } = JSON.parse(document.querySelector("script.bibtex").textContent);
    const printedIn = (row) => [...row.source.matchAll(/\d{4}\.\d{4,5}/g)].map(([paper]) => papers[paper]);
    const keys = new Set(rows.flatMap((row) => [...(methods[row.method] ?? []), ...printedIn(row), ...(row.state === "published" ? [] : [suite])]));
    const missing = [...new Set(rows.filter((row) => !methods[row.method]?.length).map((row) => row.method))];
    const note = missing.length ? [`% promptbench knows nothing to cite for: ${missing.join(", ").replaceAll("@", "(at)").replaceAll("\n", " ")}\n`] : [];
    return [...note, ...Object.entries(works).filter(([key]) => keys.has(key)).map(([, text]) => text)].join("\n");
  };

  const save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  /* `shown` promises the rows and the numbers of the columns at the time of the click. */
  const wire = (section, data, shown) => {
    const bar = section.querySelector(".share");
    const make = {
      CSV: ["csv", "text/csv", (rows, columns, what) => csv(data, rows, columns, what)],
      JSON: ["json", "application/json", (rows, columns, what) => json(data, rows, columns, what)],
      LaTeX: ["tex", "application/x-tex", (rows, columns, what) =>
        latexTable(data, rows, columns, { what, withSpread: bar.querySelector("[name=spread]").value === "with", address: address.here() })],
      BibTeX: ["bib", "application/x-bibtex", (rows) => bibtex(rows)],
    };
    bar.hidden = false;
    bar.addEventListener("click", async (event) => {
      const name = event.target.dataset.download;
      if (!make[name]) return;
      const [suffix, type, text] = make[name];
      try {
        if (name === "JSON") await data.withScores();
      } catch (error) {
        return boardFiles.failed(error); // no file with less in it than it says
      }
      const { rows, columns, what } = await shown();
      save(`${data.protocol}-${data.suite}-${data.metric.name}.${suffix}`, type, text(rows, columns, what));
    });
  };

  return { wire };
})();
