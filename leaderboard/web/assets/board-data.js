/* Unpacks the data of a board: facts of rows by name, numbers as lists in the order of the columns,
   and looked up by a column's key as well. `rowsOf` a count of shots are rows for the table, and
   `withScores` gives rows their scores by seed: both are loaded when they are asked for. */
"use strict";
const boardData = (file, { data, hasScores }) => {
  const { ids, facts, values, differences, ...about } = data;
  const factsOf = (at) =>
    Object.fromEntries(Object.entries(facts).map(([name, { values: own, rows }]) => [name, own[rows[at] ?? 0]]));
  const rows = ids.map((id, at) => {
    const cells = data.columns.map((_, number) => {
      const value = values[at][number];
      return value ? [value[0], value[1] ?? null, value[2] ?? "", ...value.slice(3)] : null;
    });
    const byKey = data.columns.flatMap(({ key }, number) => (cells[number] ? [[key, cells[number]]] : []));
    return { id, ...factsOf(at), cells, values: Object.fromEntries(byKey), differences: differences[at] };
  });

  const rowsOf = async (shots) => (await boardFiles.get(`${file}-rows-${shots}`)).rows;
  let scored = !hasScores;
  const withScores = async () => {
    if (scored) return;
    const scores = await boardFiles.get(`${file}-scores`);
    for (const row of rows) Object.assign(row, scores[row.id] ?? {});
    scored = true;
  };
  return { ...about, rows, rowsOf, isScored: () => scored, withScores };
};
