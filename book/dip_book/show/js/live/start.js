// A worker of its own file, where the page comes over http.  The bundle for pages opened from a
// disk has another way.
export const startWorker = () =>
  new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
