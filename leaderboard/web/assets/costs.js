/* Draws the plots of each table of costs; a table is one device, and so are its plots. */
"use strict";
addEventListener("DOMContentLoaded", () => {
  for (const section of document.querySelectorAll("section.costs")) {
    plotSection(section, JSON.parse(section.querySelector("script.data").textContent)).draw();
  }
});
