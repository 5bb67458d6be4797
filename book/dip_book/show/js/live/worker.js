// Where the network learns: a worker, so that the page stays free.  It is told what is known,
// never the truth.
import "./vendor/jax.js";
import { biharmonic, harmonic, mean } from "./fillings.js";
import { Fit } from "./fit.js";

const { init, defaultDevice } = globalThis.jaxJs;
const TIMED = 3; // iterations

let [fit, started, until, busy] = [null, null, 0, false];

const answers = {
  fill: ({ given, mask, size }) => ({
    fillings: {
      mean: mean(given, mask),
      harmonic: harmonic(given, mask, size),
      biharmonic: biharmonic(given, mask, size),
    },
  }),

  // Which backend is faster: seconds of an iteration on each, and whether they agree on the
  // first loss.
  async time({ options }) {
    const seconds = {};
    let first = null;
    for (const backend of await init("wasm", "webgpu")) {
      if (backend === "cpu") continue; // plain JavaScript, for debugging
      try {
        defaultDevice(backend);
        const trial = new Fit(options);
        const { loss } = await trial.iterate(); // compiles, too
        first ??= loss;
        if (!(Math.abs(loss - first) < 0.01 * first)) continue; // it draws something else
        const measure = async (count) => {
          const start = performance.now();
          for (let i = 0; i < count; i++) await trial.iterate();
          return (performance.now() - start) / count / 1000;
        };
        seconds[backend] = await measure(1); // also makes it warm
        if (!(seconds[backend] > 3 * seconds.wasm)) seconds[backend] = await measure(TIMED);
        trial.dispose();
      } catch (error) {
        if (backend === "wasm") throw error;
      }
    }
    return { seconds };
  },

  async start({ backend, options }) {
    started = init(backend);
    if (!(await started).includes(backend)) throw new Error(`${backend} is not there any more.`);
    defaultDevice(backend);
    fit = new Fit(options);
    return { iteration: fit.iteration };
  },

  // Iterate up to this one, and say so after each.
  async until({ iteration }) {
    until = iteration;
    if (busy) return null;
    busy = true;
    try {
      await started;
      while (fit && fit.iteration < until) {
        const seen = await fit.iterate();
        postMessage({ kind: "iteration", ...seen }, [seen.output.buffer]);
        await new Promise((done) => setTimeout(done)); // lets messages in
      }
    } finally {
      busy = false;
    }
    return null;
  },

  async save() {
    until = 0;
    while (busy) await new Promise((done) => setTimeout(done, 5));
    return { state: await fit.state() };
  },
};

addEventListener("message", async ({ data: { kind, ...rest } }) => {
  try {
    const answer = await answers[kind](rest);
    if (answer) postMessage({ kind, ...answer });
  } catch (error) {
    postMessage({ kind: "failed", during: kind, message: error.message });
  }
});
