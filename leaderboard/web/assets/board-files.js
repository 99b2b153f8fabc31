/* What a page of a protocol loads when it is asked for: scripts beside it, each of which hands its
   content over by name. That works from a file, too, where a page may load nothing else. */
"use strict";
const boardFiles = (() => {
  const entries = new Map();
  const entryOf = (name) => {
    if (!entries.has(name)) {
      const entry = { asked: false };
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      entries.set(name, entry);
    }
    return entries.get(name);
  };

  const put = (name, content) => {
    const entry = entryOf(name);
    entry.asked = true;
    entry.resolve(content);
  };

  /* A promise of what the file holds; it is loaded once, and once more after a failure. */
  const get = (name) => {
    const entry = entryOf(name);
    if (!entry.asked) {
      entry.asked = true;
      document.querySelector("p.failed").hidden = true;
      const script = Object.assign(document.createElement("script"), { src: `${name}.js` });
      script.addEventListener("error", () => {
        entries.delete(name);
        script.remove();
        entry.reject(new Error(`${name}.js cannot be loaded`));
      });
      document.head.append(script);
    }
    return entry.promise;
  };

  /* Says what could not be loaded; nothing else on the page changes. */
  const failed = (error) => {
    const place = document.querySelector("p.failed");
    place.textContent = `Some numbers are missing here: ${error.message}. Choose them again to try again.`;
    place.hidden = false;
  };

  return { failed, get, put };
})();
