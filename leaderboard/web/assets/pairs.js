/* Two rows of a board against each other, column by column: what `promptbench compare` computes
   (promptbench.report.comparison) from the scores of the seeds that both have. */
"use strict";
const pairs = (() => {
  /* Why two rows cannot be tested against each other; "" where they can. */
  const obstacle = (data, a, b) => {
    if (!a.seeds || !b.seeds) return "numbers of papers have no seeds: no test";
    if (!data.onOneData) return "scored on other images or class names: no test";
    if (a.shots !== b.shots && a.shots && b.shots) return "other counts of shots: not paired";
    if (a.backbone !== b.backbone) return "other backbones: not paired";
    if ((a.around ?? "") !== (b.around ?? "")) return "other weights, preprocessing or precision: not paired";
    return "";
  };

  /* The scores of both rows in a column, of the seeds that both have there. */
  const common = (a, b, column) =>
    a.seeds.flatMap((seed, i) => {
      const x = a.scores[column]?.[i];
      const y = b.scores[column]?.[b.seeds.indexOf(seed)];
      return x == null || y == null ? [] : [[x, y]];
    });

  const count = (row, column) => (row.scores[column] ?? []).filter((score) => score !== null).length;

  /* The values of both rows over their common seeds. Of a row with more seeds, that is the mean of
     these; a number that is not the mean of its seeds (a harmonic mean is taken of means) cannot
     be had from them, and is null. */
  const values = (a, b, column, scores) =>
    [a, b].map((row, side) => {
      const shown = row.cells[column][0];
      if (count(row, column) === scores.length) return shown;
      const own = row.scores[column].filter((score) => score !== null);
      const isMean = Math.abs(statistics.mean(own) - shown) < 1e-6;
      return isMean ? statistics.mean(scores.map((pair) => pair[side])) : null;
    });

  const tested = (data, a, b, column) => {
    const scores = common(a, b, column);
    if (!scores.length) return null;
    const [x, y] = values(a, b, column, scores);
    if (x === null || y === null) return { a: a.cells[column][0], b: b.cells[column][0], difference: null, n: scores.length };
    const differences = scores.map(([one, other]) => one - other);
    const drawn = a.drawn || b.drawn;
    return {
      a: x,
      b: y,
      difference: x - y,
      n: scores.length,
      spread: statistics.spread(differences, x - y, data.metric.bounds, drawn),
      p: statistics.tTest(differences, x - y),
    };
  };

  /* Whether two rows may share a ranking, as promptbench.report.tracks has it. */
  const alike = (a, b) => {
    const [one, other] = [a, b].map((row) => row.settings ?? ["paper"]);
    if (a.track !== b.track) return false;
    if (!one.length || !other.length) return true;
    return (a.selection ?? "") === (b.selection ?? "") && one.some((each) => other.includes(each));
  };

  /* One entry for each column in which both rows have a number. The p-values of all columns are the
     family that Holm's adjustment covers, whichever are shown; those over datasets are another one.
     Where one of them cannot be had, the family is not whole and nothing is adjusted. */
  const compare = (data, a, b) => {
    const why = obstacle(data, a, b);
    const all = data.columns.map((_, column) => {
      if (!a.cells[column] || !b.cells[column]) return null;
      if (!why) return tested(data, a, b, column);
      const [x, y] = [a.cells[column][0], b.cells[column][0]];
      return { a: x, b: y, difference: x - y, n: 0 };
    });
    const found = all.flatMap((entry, column) => (entry ? [{ column, p: null, spread: null, ...entry }] : []));
    if (!why) {
      for (const entry of found) {
        const parts = data.columns[entry.column].parts;
        const members = parts.map((part) => all[part]?.difference).filter((difference) => difference != null);
        if (parts.length) entry.across = statistics.signedRankTest(members);
      }
    }
    const whole = found.every((entry) => entry.difference !== null);
    const holm = (values) => (whole ? statistics.holm(values) : values.map(() => null));
    const adjusted = holm(found.map((entry) => entry.p));
    const across = holm(found.map((entry) => entry.across?.p ?? null));
    return { why, whole, entries: found.map((entry, i) => ({ ...entry, holm: adjusted[i], acrossHolm: across[i] })) };
  };

  return { alike, compare };
})();
