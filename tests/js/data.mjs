// What Python wrote for these tests; and the library, on WebAssembly.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import "../../book/dip_book/show/js/live/vendor/jax.js";

export const { numpy: np, init, defaultDevice, valueAndGrad } = globalThis.jaxJs;
await init("wasm");
defaultDevice("wasm");

const path = (name) => join(process.env.DIP_DATA, name);
export const read = (name) => JSON.parse(readFileSync(path(name)));
export const write = (name, value) => writeFileSync(path(name), JSON.stringify(value));
export const largest = (one, other) =>
  one.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i])), 0);
