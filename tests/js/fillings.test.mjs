// Fills holes of a picture; Python looks at the numbers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { biharmonic, harmonic, mean } from "../../book/dip_book/show/js/live/fillings.js";
import { read, write } from "./data.mjs";

test("known pixels stay as they are", () => {
  const { size, ...told } = read("fillings.json");
  const [given, mask] = [told.given, told.mask].map((values) => Float32Array.from(values));
  const filled = {
    mean: mean(given, mask),
    harmonic: harmonic(given, mask, size),
    biharmonic: biharmonic(given, mask, size),
  };
  for (const values of Object.values(filled))
    mask.forEach((known, i) => assert.ok(!known || values[i] === given[i]));
  write(
    "filled.json",
    Object.fromEntries(Object.entries(filled).map(([name, values]) => [name, [...values]])),
  );
});
