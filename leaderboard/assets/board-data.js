/* Reads the data of a board: numbers come as lists in the order of the columns, and are looked up
   by a column's key as well. */
"use strict";
const boardData = (section) => {
  const data = JSON.parse(section.querySelector("script.data").textContent);
  for (const row of data.rows) {
    row.cells = data.columns.map((_, number) => {
      const value = row.values[number];
      return value ? [value[0], value[1] ?? null, value[2] ?? "", ...value.slice(3)] : null;
    });
    row.values = Object.fromEntries(
      data.columns.flatMap(({ key }, number) => (row.cells[number] ? [[key, row.cells[number]]] : [])),
    );
  }
  return data;
};
