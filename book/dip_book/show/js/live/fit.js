// The loop: perturb z, draw, compare with the known pixels, take a step; or go back.
import "./vendor/jax.js";
import { draw, shapes } from "./network.js";
import { generator } from "./random.js";

const { numpy: np, jit, valueAndGrad, random } = globalThis.jaxJs;

// Weights ----------------------------------------------------------------------------------------
// An iteration hands on few arrays: weights that are matrices of one shape lie in one array, all
// others in one vector.

// {key: {names, shape}}: of each array which weights it holds, by the names of `shapes`, and its
// own shape.
export function layout(config) {
  const all = shapes(config);
  const arrays = { rest: { names: [], shape: [0] } };
  for (const [name, shape] of Object.entries(all)) {
    const [rows, columns] = [shape[0], shape.slice(1).reduce((a, b) => a * b, 1)];
    const key = forMuon(name, shape) ? `${rows}×${columns}` : "rest";
    const array = (arrays[key] ??= { names: [], shape: [0, rows, columns] });
    array.names.push(name);
    array.shape[0] += key === "rest" ? rows * columns : 1;
  }
  return arrays;
}

// Muon takes the weights of all convolutions but the last; biases, batch norm and the last stay
// with Adam.
const forMuon = (name, shape) => shape.length === 4 && !name.startsWith("out.");

// {name: array} of {key: array}: pieces of the packed arrays, in the shapes that the network wants.
export function unpacked(packed, config) {
  const all = shapes(config);
  const weights = {};
  for (const [key, { names }] of Object.entries(layout(config))) {
    let from = 0;
    for (const name of names) {
      const to = from + (key === "rest" ? all[name].reduce((a, b) => a * b) : 1);
      weights[name] = packed[key].ref.slice([from, to]).reshape(all[name]);
      from = to;
    }
    packed[key].dispose();
  }
  return weights;
}

// {key: array} of {name: Float32Array}.
export function packed(values, config) {
  const joined = (parts) => {
    const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
    parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
    return all;
  };
  return mapped(layout(config), ({ names, shape }) =>
    np.array(joined(names.map((name) => values[name])), { shape }),
  );
}

// As PyTorch draws them: convolutions uniform within ±1/√(numbers that one output reads), batch
// norm ones and zeros.
export function drawWeights(config, uniform) {
  const all = shapes(config);
  return Object.fromEntries(
    Object.entries(all).map(([name, shape]) => {
      const values = new Float32Array(shape.reduce((a, b) => a * b));
      const kernel = all[name.replace(/bias$/, "weight")];
      const bound = 1 / Math.sqrt(kernel.slice(1).reduce((a, b) => a * b, 1));
      if (kernel.length > 1)
        values.forEach((_, i) => {
          values[i] = bound * (2 * uniform() - 1);
        });
      else values.fill(name.endsWith("weight") ? 1 : 0);
      return [name, values];
    }),
  );
}

// Optimisers -------------------------------------------------------------------------------------
// A step maps (weight, gradient, the moments m and v, the count of steps, a rate) to (weight, m,
// v).

export function adam(weight, gradient, m, v, count, rate) {
  m = m.mul(0.9).add(gradient.ref.mul(0.1));
  v = v.mul(0.999).add(np.square(gradient).mul(0.001));
  const [mean, square] = [
    [m, 0.9],
    [v, 0.999],
  ].map(([sum, decay]) => sum.ref.div(np.power(decay, count.ref).mul(-1).add(1)));
  count.dispose();
  return [weight.sub(mean.div(np.sqrt(square).add(1e-8)).mul(rate)), m, v];
}

// Momentum, and the update of each matrix made orthogonal (Jordan et al. 2024).  Weights: (N,
// rows, columns).
export function muon(weight, gradient, m, v, count, rate) {
  count.dispose();
  const [, rows, columns] = weight.shape;
  m = m.mul(0.95).add(gradient.ref.mul(0.05));
  const update = orthogonalised(gradient.mul(0.05).add(m.ref.mul(0.95)));
  const length = Math.sqrt(Math.max(1, rows / columns));
  return [weight.sub(update.mul(length).mul(rate)), m, v];
}

// The orthogonal matrices nearest to these, roughly: five steps pull every singular value
// towards 1.
export function orthogonalised(matrices) {
  const turned = (x) => np.transpose(x, [0, 2, 1]);
  const tall = matrices.shape[1] > matrices.shape[2];
  let x = tall ? turned(matrices) : matrices;
  x = x.ref.div(np.maximum(np.sqrt(np.square(x).sum([1, 2], { keepdims: true })), 1e-7));
  for (let i = 0; i < 5; i++) {
    const gram = np.matmul(x.ref, turned(x.ref));
    const pull = gram.ref.mul(-4.775).add(np.matmul(gram.ref, gram).mul(2.0315));
    x = x.ref.mul(3.4445).add(np.matmul(pull, x));
  }
  return tall ? turned(x) : x;
}

export const ADAM_BESIDE_MUON = 0.003;

// One iteration ----------------------------------------------------------------------------------

// ‖(f_θ(z) − x̂) ⊙ m‖² divided by the number of known pixels.
export const maskedLoss = (output, given, mask) =>
  np.square(output.sub(given).mul(mask.ref)).sum().div(mask.sum());

// A compiled function from all that an iteration needs to the loss, the output, and the weights
// and moments after the step.
export function compiled(config, optimiser) {
  const loss = (arrays, z, given, mask) => {
    const weights = unpacked(arrays, config);
    const output = draw(weights, z, config);
    for (const weight of Object.values(weights)) weight.dispose();
    return [maskedLoss(output.ref, given, mask), output];
  };
  return jit((weights, m, v, z, noise, given, mask, count, rate, share) => {
    const [[value, output], gradients] = valueAndGrad(loss, { hasAux: true })(
      mapped(weights, (weight) => weight.ref),
      z.add(noise),
      given,
      mask,
    );
    const next = [{}, {}, {}];
    for (const key of Object.keys(weights)) {
      const step = optimiser === "muon" && key !== "rest" ? muon : adam;
      const own = optimiser === "muon" && key === "rest" ? share.ref : rate.ref;
      step(weights[key], gradients[key], m[key], v[key], count.ref, own).forEach((array, i) => {
        next[i][key] = array;
      });
    }
    for (const array of [count, rate, share]) array.dispose();
    return [value, output, ...next];
  });
}

const mapped = (tree, f) =>
  Object.fromEntries(Object.entries(tree).map(([name, array]) => [name, f(array)]));
const free = (...trees) =>
  trees.flatMap((tree) => Object.values(tree)).forEach((array) => array.dispose());

// A fit ------------------------------------------------------------------------------------------

// A network being fitted to one picture of size×size: given (its pixels) and mask (1 known, 0
// missing), both Float32Array.
// There is no place here for the truth.
export class Fit {
  constructor({ size, given, mask, config, optimiser, rate, sigma, seed, state }) {
    Object.assign(this, { size, config, optimiser, sigma });
    if (!mask.some((known) => known))
      throw new Error("No pixel is known: there is nothing to fit.");
    this.random = generator(seed);
    const weights = packed(drawWeights(config, this.random.uniform), config);
    const z = Float32Array.from(
      { length: config.inputs * size * size },
      () => 0.1 * this.random.uniform(),
    );
    this.z = np.array(z, { shape: [config.inputs, size, size] });
    const square = (values) => np.array(values, { shape: [size, size] });
    [this.given, this.mask] = [square(given.map((value, i) => value * mask[i])), square(mask)];
    const zeros = () => mapped(weights, (array) => np.zeros(array.shape));
    this.now = [weights, zeros(), zeros()];
    this.good = null; // the state before the last step, in case that was a bad one
    Object.assign(this, { iteration: 0, rate, goodLoss: Infinity });
    this.step = compiled(config, optimiser);
    if (state) this.load(state);
  }

  // Returns what the iteration saw: {iteration, loss, rate, backtracked, output}.
  async iterate() {
    const [{ size, config }, sigma] = [this, this.sigma];
    const noise = np.array(this.random.normal(config.inputs * size * size, sigma), {
      shape: [config.inputs, size, size],
    });
    const [shared, share] = [
      this.now.map((tree) => mapped(tree, (array) => array.ref)),
      ADAM_BESIDE_MUON * (this.rate / (this.firstRate ??= this.rate)),
    ];
    const [loss, output, ...next] = this.step(
      ...shared,
      this.z.ref,
      noise,
      this.given.ref,
      this.mask.ref,
      ...[this.iteration + 1, this.rate, share].map((value) => np.array(value)),
    );
    const [[value], pixels] = await Promise.all([loss.data(), output.data()]);
    const backtracked = this.good !== null && !(value <= 2 * this.goodLoss);
    if (!backtracked) {
      if (this.good) free(...this.good);
      [this.good, this.now, this.goodLoss] = [this.now, next, value];
    } else {
      free(...next, ...this.now);
      this.now = this.good.map((tree) => mapped(tree, (array) => array.ref));
      this.rate *= 0.9;
    }
    this.iteration += 1;
    return { iteration: this.iteration, loss: value, rate: this.rate, backtracked, output: pixels };
  }

  // All that goes on from here needs, as plain arrays.
  async state() {
    const trees = [];
    for (const tree of this.now) {
      const plain = {};
      for (const [name, array] of Object.entries(tree)) plain[name] = await array.ref.data();
      trees.push(plain);
    }
    const { iteration, rate, firstRate, goodLoss } = this;
    return { trees, iteration, rate, firstRate, goodLoss, random: this.random.state() };
  }

  load({ trees, random: drawn, ...rest }) {
    const arrays = layout(this.config);
    free(...this.now);
    this.now = trees.map((tree) =>
      Object.fromEntries(
        Object.entries(tree).map(([key, values]) => [
          key,
          np.array(values, { shape: arrays[key].shape }),
        ]),
      ),
    );
    this.random.load(drawn);
    Object.assign(this, rest);
  }

  dispose() {
    free(...this.now, ...(this.good ?? []), [this.z, this.given, this.mask]);
    this.step.dispose();
  }
}
