// A fit: with Adam it comes well above the mean of what is known, Muon as far in a third of the
// iterations; and it can be put away and taken up.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fit } from "../../book/dip_book/show/js/live/fit.js";
import { mean } from "../../book/dip_book/show/js/live/fillings.js";
import { knownPixels, psnr } from "../../book/dip_book/show/js/live/pictures.js";
import { configOf, defaults } from "../../book/dip_book/show/js/live/settings.js";
import { largest, read } from "./data.mjs";

const [size, iterations] = [64, 120];
const truth = Float32Array.from(read("camera.json"));
const mask = knownPixels(size, 0.5, 0, new Uint8Array(truth.length));
const given = truth.map((value, i) => value * mask[i]);
const start = psnr(mean(given, mask), truth);
const settings = defaults();
const options = (optimiser) => ({
  size,
  given,
  mask,
  config: configOf(settings),
  optimiser,
  rate: settings[optimiser],
  sigma: 1 / settings.sigma,
  seed: 0,
});

for (const [optimiser, count] of [
  ["adam", iterations],
  ["muon", iterations / 3],
])
  test(`${optimiser}: 8 dB above the mean, a fifth of the loss, in ${count} iterations`, async () => {
    const fit = new Fit(options(optimiser));
    const seen = [];
    for (let i = 0; i < count; i++) seen.push(await fit.iterate());
    fit.dispose();
    const [first, last] = [seen[0], seen.at(-1)];
    assert.ok(psnr(last.output, truth) > start + 8, `${psnr(last.output, truth)} and ${start}`);
    assert.ok(last.loss < first.loss / 5);
    assert.deepEqual(
      seen.map(({ iteration }) => iteration),
      seen.map((_, i) => i + 1),
    );
  });

const small = {
  size: 16,
  given: given.slice(0, 256),
  mask: mask.slice(0, 256),
  config: { ...configOf(settings), depth: 2, width: 8, inputs: 4 },
  sigma: 0.01,
  seed: 4,
};

for (const optimiser of ["adam", "muon"])
  test(`${optimiser}: put away and taken up, it goes on as if nothing had happened`, async () => {
    const run = async (fit, count) => {
      let seen;
      for (let i = 0; i < count; i++) seen = await fit.iterate();
      return seen;
    };
    const whole = new Fit({ ...small, optimiser, rate: settings[optimiser] });
    const begun = new Fit({ ...small, optimiser, rate: settings[optimiser] });
    await run(begun, 4);
    const state = structuredClone(await begun.state());
    begun.dispose();
    const resumed = new Fit({ ...small, optimiser, rate: settings[optimiser], state });
    const [one, other] = [await run(whole, 7), await run(resumed, 3)];
    assert.equal(one.iteration, other.iteration);
    assert.ok(largest(one.output, other.output) < 1e-6);
  });

test("a loss that jumps is undone, and the rate is cut", async () => {
  const fit = new Fit({ ...small, optimiser: "adam", rate: 0.003 });
  await fit.iterate();
  await fit.iterate();
  fit.goodLoss /= 100; // as if the last one had been far lower
  const jumped = await fit.iterate();
  assert.ok(jumped.backtracked);
  assert.ok(Math.abs(jumped.rate - 0.0027) < 1e-9);
  const before = fit.goodLoss;
  fit.goodLoss = Infinity;
  assert.ok(!(await fit.iterate()).backtracked);
  assert.ok(before < Infinity);
});

test("another seed is another network; the same one the same", async () => {
  const first = async (seed) =>
    (await new Fit({ ...small, optimiser: "adam", rate: 0.003, seed }).iterate()).output;
  assert.ok(largest(await first(1), await first(2)) > 0.01);
  assert.equal(largest(await first(1), await first(1)), 0);
});

test("a mask without a known pixel is refused", () => {
  assert.throws(
    () => new Fit({ ...small, mask: new Float32Array(256), optimiser: "adam", rate: 0.003 }),
    /No pixel is known/,
  );
});
