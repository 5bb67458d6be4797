// Makes jax.js anew.  In an empty folder: npm install @jax-js/jax@0.1.25 esbuild@0.28.2; then node build.mjs from there.
// Two changes: WebGL, which is not used here, is left out; and a compiled program is made ready once, not at each call.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const esbuild = createRequire(`${process.cwd()}/`)("esbuild");
const before = "const func = new WebAssembly.Instance(";
const changes = {
  name: "changes",
  setup(build) {
    build.onLoad({ filter: /webgl-.*\.js$/ }, () => ({
      contents: "export const WebGLBackend = null;",
    }));
    build.onLoad({ filter: /backend-.*\.js$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      if (text.split(before).length !== 2)
        throw new Error("The line to change is not there: has the library changed?");
      return {
        contents: text.replace(before, "const func = program.func ??= new WebAssembly.Instance("),
      };
    });
  },
};
writeFileSync(
  "entry.js",
  'export { init, defaultDevice, devices, numpy, nn, lax, jit, grad, valueAndGrad, random, blockUntilReady } from "@jax-js/jax";\n',
);
await esbuild.build({
  entryPoints: ["entry.js"],
  outfile: "jax.js",
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "jaxJs",
  target: "es2022",
  plugins: [changes],
  banner: {
    js: "/* @jax-js/jax 0.1.25, MIT License, Copyright (c) Eric Zhang: see LICENSE and README.md */",
  },
  footer: { js: "globalThis.jaxJs=jaxJs;" },
});
