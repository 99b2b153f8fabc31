/* The filters of a board: which rows of its data fit the form. */
"use strict";
const boardFilters = (section, rows, changed) => {
  const form = section.querySelector("form.filters");
  const count = form.querySelector("output");
  const fields = [...form.querySelectorAll("select")]
    .map((select) => select.name)
    .filter((name) => !["columns", "numbers"].includes(name));

  const fits = (row) => {
    const text = form.elements.text.value.trim().toLowerCase();
    return (
      fields.every((name) => !form.elements[name].value || form.elements[name].value === String(row[name])) &&
      `${row.title} ${row.method}`.toLowerCase().includes(text)
    );
  };

  const apply = () => {
    const found = rows.filter(fits);
    count.textContent = `${found.length} of ${rows.length} rows`;
    changed(found, form.elements.columns.value, form.elements.numbers.value);
  };

  form.hidden = false;
  if (matchMedia("(max-width: 40rem)").matches) form.elements.columns.value = "average";
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();
};
