/* On a phone each row of a table is a card: every number bears its column's name, and a list to
   sort by stands in the place of the headings. Without scripts the table scrolls instead. */
"use strict";
const boardCards = (section, table) => {
  const element = section.querySelector(".scroll table");
  const list = section.querySelector("select[name=sort]");
  const narrow = matchMedia("(max-width: 40rem)");

  /* Cards stay a table to those who hear it. */
  const roles = { table: [element], rowgroup: element.tBodies, row: element.tBodies[0].rows };

  const label = () => {
    element.classList.toggle("cards", narrow.matches);
    for (const [role, parts] of Object.entries(roles)) {
      for (const part of parts) narrow.matches ? part.setAttribute("role", role) : part.removeAttribute("role");
    }
    if (!narrow.matches) return;
    const names = table.sortable().filter(({ shown }) => shown).map(({ label: name }) => name);
    for (const row of element.tBodies[0].rows) {
      [...row.cells].forEach((cell, i) => {
        cell.dataset.label = names[i];
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
      });
    }
  };

  const options = () => {
    const order = table.order;
    list.replaceChildren(new Option("as ranked", ""), ...table.sortable().filter(({ shown }) => shown).map(({ label: name, first }) => new Option(name, `${name}:${first}`)));
    const chosen = [...list.options].find((option) => order && option.value.startsWith(`${order.by}:`));
    list.value = chosen?.value ?? "";
  };
  list.addEventListener("change", () => {
    const [by, direction] = [list.value.replace(/:\w+$/, ""), list.value.split(":").pop()];
    table.sort(by, direction);
  });
  const draw = () => {
    label();
    options();
  };
  narrow.addEventListener("change", draw);
  return { draw, label };
};
