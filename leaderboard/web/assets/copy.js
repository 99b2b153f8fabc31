/* A button beside each command or citation that copies it. */
"use strict";
addEventListener("DOMContentLoaded", () => {
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { // older browsers, and pages that may not
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  for (const block of document.querySelectorAll("pre[data-copy]")) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy", className: "copy" });
    button.setAttribute("aria-label", `Copy: ${block.textContent.trim().slice(0, 60)}`);
    const frame = Object.assign(document.createElement("div"), { className: "copied" });
    block.replaceWith(frame);
    frame.append(block, button);
    button.addEventListener("click", async () => {
      button.textContent = (await copied(block.textContent.trim())) ? "Copied" : "Select and copy";
      button.setAttribute("aria-live", "polite");
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
});
