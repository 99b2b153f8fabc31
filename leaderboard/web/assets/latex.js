/* The rows and columns that are shown, as a LaTeX table: booktabs, best bold, second underlined. */
"use strict";
const latexTable = (() => {
  const special = {
    "\\": "\\textbackslash{}", "{": "\\{", "}": "\\}", "&": "\\&", "%": "\\%", _: "\\_", "#": "\\#", $: "\\$",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "\\textless{}", ">": "\\textgreater{}",
    "|": "\\textbar{}", '"': "\\textquotedbl{}", "'": "\\textquotesingle{}", "`": "\\textasciigrave{}",
    "[": "{[}", "]": "{]}", "±": "$\\pm$", "†": "\\textdagger{}", "§": "\\textsection{}", "¶": "\\textparagraph{}",
    "—": "---", "–": "--", "−": "$-$",
  };

  /* Text that LaTeX sets as it is; letters that the T1 fonts lack are named by their number. */
  const escaped = (text) =>
    [...String(text)].map((c) => {
      const code = c.codePointAt(0);
      if (special[c]) return special[c];
      if ((code >= 32 && code < 127) || (code >= 0xc0 && code < 0x180 && /\p{L}/u.test(c))) return c;
      return code < 32 ? " " : `\\texttt{U+${code.toString(16).toUpperCase().padStart(4, "0")}}`;
    }).join("");

  /* Bold and underlined as the table has them. Among printed numbers only, where it has none: the
     best and the second of the rows that are shown, if they may be compared. */
  const marksOf = (data, rows, columns) => {
    if (rows.some((row) => row.state !== "published")) {
      return { best: (row, i) => row.best.includes(i), second: (row, i) => row.second.includes(i), note: "" };
    }
    const one = new Set(rows.map((row) => [row.track, row.shots, row.backbone].join("|"))).size === 1;
    const competing = rows.filter((row) => !row.split);
    if (!one || competing.length < 2) return { best: () => false, second: () => false, note: "" };
    const whole = (row, i) => data.columns[i].kind !== "average" || row.over === competing[0].over;
    const places = new Map(columns.map((i) => {
      const found = competing.filter((row) => row.cells[i] && whole(row, i)).map((row) => row.cells[i][0]);
      return [i, [...new Set(found)].sort((a, b) => (data.metric.higher ? b - a : a - b))];
    }));
    const at = (place) => (row, i) => !row.split && whole(row, i) && row.cells[i]?.[0] === places.get(i)[place];
    return { best: at(0), second: at(1), note: "Bold and underlined: the best and the second printed number; published numbers, no seeds, so that no test supports the order." };
  };

  const number = (data, row, i, withSpread, marks) => {
    const value = row.cells[i];
    if (!value) return "---";
    let text = escaped(value[0].toFixed(data.metric.decimals));
    if (marks.best(row, i)) text = `\\textbf{${text}}`;
    else if (marks.second(row, i)) text = `\\underline{${text}}`;
    return withSpread && value[2] ? `${text} {\\scriptsize ${escaped(value[2])}}` : text;
  };

  const heads = (data, columns, before) => {
    const groups = [];
    for (const i of columns) {
      const { group } = data.columns[i];
      if (groups.length && groups.at(-1).group === group) groups.at(-1).span += 1;
      else groups.push({ group, span: 1 });
    }
    const titles = columns.map((i) => escaped(data.columns[i].title));
    const last = [...before, ...titles].join(" & ") + " \\\\";
    if (groups.every(({ group }) => !group)) return [last];
    let start = before.length + 1;
    const rules = groups.map(({ span }) => {
      start += span;
      return `\\cmidrule(lr){${start - span}-${start - 1}}`;
    });
    const first = groups.map(({ group, span }) => `\\multicolumn{${span}}{c}{${escaped(group)}}`);
    return [[...before.map(() => ""), ...first].join(" & ") + " \\\\", rules.join(""), last];
  };

  return (data, rows, columns, { what, withSpread, address }) => {
    const marks = marksOf(data, rows, columns);
    const several = (name) => new Set(rows.map((row) => row[name])).size > 1;
    const facts = ["shots", "n"].filter(several);
    const names = { shots: "shots", n: "$n$" };
    const shots = several("shots") || !rows.length ? "" : `, ${rows[0].shots} ${rows[0].shots === 1 ? "shot" : "shots"}`;
    const seeds = withSpread && rows.some((row) => columns.some((i) => row.cells[i]?.[2]));
    const caption = [
      `${data.metric.title}${data.metric.unit}${what}, ${data.protocol.replaceAll("_", " ")}, suite ${data.suite}${shots}.`,
      seeds ? "± is the half width of the 95% t interval over seeds; of two seeds, their values." : "",
      marks.note,
    ].filter(Boolean).join(" ");
    const body = rows.map((row) => {
      const from = ["verified", "recomputed", "consistent", "reported"].includes(row.provenance) ? "" : ` (${row.provenance === "unknown" ? "origin unknown" : row.provenance})`;
      const cells = columns.map((i) => number(data, row, i, withSpread, marks));
      return [escaped(row.title + from), ...facts.map((name) => escaped(row[name] || "")), ...cells].join(" & ") + " \\\\";
    });
    return [
      "% needs \\usepackage[T1]{fontenc}, \\usepackage{booktabs,graphicx,textcomp}",
      `% ${address.replaceAll("\n", " ")}`,
      "\\begin{table}[t]",
      "\\centering",
      `\\caption{${escaped(caption)}}`,
      `\\label{tab:${`${data.protocol}-${data.suite}-${data.metric.name}`.replace(/[^\w-]/g, "-").replaceAll("_", "-")}}`,
      "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%",
      `\\begin{tabular}{l${"r".repeat(facts.length + columns.length)}}`,
      "\\toprule",
      ...heads(data, columns, ["method", ...facts.map((name) => names[name])]),
      "\\midrule",
      ...body,
      "\\bottomrule",
      "\\end{tabular}}",
      "\\end{table}",
      "",
    ].join("\n");
  };
})();
