/* The view of a board in the page's address, so that a link shows the same: what follows # holds
   the suite, the metric, and whatever differs from the usual choice. It works from a file, too. */
"use strict";
const address = (() => {
  const read = () => {
    const text = decodeURIComponent(location.hash).includes("=") ? location.hash.slice(1) : "";
    return Object.fromEntries(new URLSearchParams(text));
  };

  const text = (view) => {
    const kept = Object.entries(view).filter(([, value]) => value !== undefined);
    return `#${new URLSearchParams(kept)}`;
  };

  /* The view of one board: filters, sorting and chosen rows as texts. */
  const viewOf = (section, filters, table, chosen) => {
    const { suite, metric } = section.dataset;
    const order = table.order;
    return {
      suite,
      metric,
      ...filters.state,
      sort: order ? `${order.by}:${order.direction}` : undefined,
      compare: chosen.map((id) => id.slice(section.dataset.board.length + 1)).join(" ") || undefined,
    };
  };

  const show = (section, view, filters, table, compare) => {
    filters.state = view;
    const [by, direction] = [view.sort?.replace(/:\w+$/, ""), view.sort?.split(":").pop()];
    table.sort(by, direction);
    compare.choose((view.compare ?? "").split(" ").filter(Boolean).map((id) => `${section.dataset.board}-${id}`));
  };

  /* Whether the address asks for a view of this board. */
  const isFor = (section, view) =>
    view.suite === section.dataset.suite && [undefined, section.dataset.metric].includes(view.metric);

  const write = (section, view) => {
    const hash = text(view);
    section.querySelector(".permalink").href = hash;
    if (section.dataset.wired && !section.hidden) history.replaceState(null, "", hash);
  };

  /* The page with its view, as downloads name it; of a file only its place within the site. */
  const here = () =>
    location.protocol === "file:" ? location.pathname.split("/").slice(-2).join("/") + location.hash : location.href;

  return { here, isFor, read, show, viewOf, write };
})();
