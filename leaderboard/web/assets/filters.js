/* The filters of a board: which rows of its data fit the form, and the form's state as plain data. */
"use strict";
const boardFilters = (section, rows, changed) => {
  const form = section.querySelector("form.filters");
  const folded = form.querySelector("details");
  const count = form.querySelector("output");
  const controls = [...form.elements].filter((control) => control.name && control.name !== "sort");
  const fields = controls.map((control) => control.name).filter((name) => !["text", "columns", "numbers"].includes(name));
  const narrow = matchMedia("(max-width: 40rem)");

  /* Presets that are one in fact are found by each of them; who learns nothing, by every one. */
  const called = (row, name) => {
    if (name !== "preset") return [String(row[name])];
    return row.settings?.length === 0 ? [form.elements[name].value] : [row.preset, ...(row.settings ?? [])];
  };

  const fits = (row, among) => {
    const text = form.elements.text.value.trim().toLowerCase();
    return (
      among.every((name) => !form.elements[name].value || called(row, name).includes(form.elements[name].value)) &&
      `${row.title} ${row.method}`.toLowerCase().includes(text)
    );
  };

  /* Ids of table rows: of rows that say the same under several counts of shots, one stands there. */
  const idsOf = (found) => [...new Set(found.map((row) => row.twin ?? row.id))];

  const apply = () => {
    const found = rows.filter((row) => fits(row, fields));
    const ids = idsOf(found);
    count.textContent = `${ids.length} of ${idsOf(rows).length} rows`;
    changed({
      rows: found,
      ids,
      everyShots: rows.filter((row) => fits(row, fields.filter((name) => name !== "shots"))),
      track: form.elements.track?.value ?? "",
      columns: form.elements.columns.value,
      numbers: form.elements.numbers.value,
    });
  };

  const usual = (control) => {
    if (control.name === "columns" && narrow.matches) return "average";
    if (control.tagName !== "SELECT") return control.defaultValue;
    return ([...control.options].find((option) => option.defaultSelected) ?? control.options[0]).value;
  };
  const reset = () => {
    for (const control of controls) control.value = usual(control);
  };

  form.hidden = false;
  reset();
  const fold = () => { folded.open = !narrow.matches; };
  fold();
  narrow.addEventListener("change", fold);
  form.addEventListener("input", (event) => { if (event.target.name !== "sort") apply(); });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    reset();
    apply();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  apply();

  return {
    apply,
    /* What differs from the usual choice, by name. */
    get state() {
      return Object.fromEntries(controls.filter((control) => control.value !== usual(control)).map((control) => [control.name, control.value]));
    },
    /* Choose what a state says, and the usual of everything else; what there is not stays usual. */
    set state(state) {
      reset();
      for (const control of controls) {
        const wished = state[control.name];
        if (wished === undefined) continue;
        control.value = wished;
        if (control.value !== wished) control.value = usual(control);
      }
      apply();
    },
  };
};
