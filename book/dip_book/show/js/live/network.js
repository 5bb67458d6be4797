// The encoder-decoder f_θ, as dip_blocks.py has it: the same blocks, the same names of weights,
// another library.
// One picture at a time, so there is no batch dimension: (channels, height, width).
// jax-js counts references: a function uses its arguments up, and `x.ref` is a second use of x.
import "./vendor/jax.js";

const { numpy: np, nn } = globalThis.jaxJs;

// Blocks ------------------------------------------------------------------------------------------

// A k×k convolution with zeros at the border, k odd.  (C, H, W) → (O, H/stride, W/stride).
// A product of matrices for each column of the kernel, (O, k·C) by (k·C, pixels), added up.  What
// a tap of the kernel meets is a piece of the flattened picture; the k pieces of one column are put
// below one another.
export function conv(x, weight, bias, stride = 1) {
  const [out, channels, size] = weight.shape;
  const [height, width] = x.shape.slice(1).map((length) => length / stride);
  const border = (size - 1) / 2;
  const reach = Math.ceil((size - 1) / stride);
  // a row more than is needed, for the end of the last piece
  const [rows, cols] = [height + reach + (size > 1), width + reach];
  if (size > 1) {
    const after = [
      rows * stride - height * stride - border,
      cols * stride - width * stride - border,
    ];
    x = np.pad(x, [
      [0, 0],
      [border, after[0]],
      [border, after[1]],
    ]);
    x = np.transpose(x.reshape([channels, rows, stride, cols, stride]), [4, 2, 0, 1, 3]);
    x = x.reshape([stride, stride, channels, rows * cols]);
    const length = height * cols + reach; // from the first pixel that a column meets to its last
    const piece = (column, dy) => {
      const from = Math.floor(dy / stride) * cols;
      return x.ref.slice(column, dy % stride, [], [from, from + length]);
    };
    const joined = (column) =>
      np.concatenate(
        range(size).map((dy) => piece(column, dy)),
        0,
      );
    const all = range(stride).map(joined);
    x.dispose();
    x = all;
  } else x = [x.reshape([channels, height * width])];
  const kernel = np.transpose(weight, [3, 0, 2, 1]).reshape([size, out, size * channels]);
  const products = range(size).map((dx) => {
    const from = Math.floor(dx / stride);
    return np.matmul(
      kernel.ref.slice(dx),
      x[dx % stride].ref.slice([], [from, from + height * cols]),
    );
  });
  [kernel, ...x].forEach((array) => array.dispose());
  const sum = products.reduce((a, b) => a.add(b)).add(bias.reshape([out, 1]));
  return sum.reshape([out, height, cols]).slice([], [], [0, width]);
}

const range = (count) => Array.from({ length: count }, (_, i) => i);

// Batch norm by the statistics of the one picture at hand.
export function normalise(x, weight, bias) {
  const column = (v) => v.reshape([-1, 1, 1]);
  x = x.sub(np.mean(x.ref, [1, 2], { keepdims: true }));
  const variance = np.mean(np.square(x.ref), [1, 2], { keepdims: true });
  return x
    .div(np.sqrt(variance.add(1e-5)))
    .mul(column(weight))
    .add(column(bias));
}

// Doubles height and width.
export function upsample(x, method) {
  const [channels, height, width] = x.shape;
  if (method === "nearest")
    return np
      .broadcastTo(x.reshape([channels, height, 1, width, 1]), [channels, height, 2, width, 2])
      .reshape([channels, 2 * height, 2 * width]);
  const rows = np
    .matmul(x.reshape([channels * height, width]), between(width))
    .reshape([channels, height, 2 * width]);
  const columns = np.transpose(rows, [0, 2, 1]).reshape([channels * 2 * width, height]);
  return np.transpose(
    np.matmul(columns, between(height)).reshape([channels, 2 * width, 2 * height]),
    [0, 2, 1],
  );
}

// Bilinear interpolation of n values to 2n, as a matrix: a new value is three parts its nearest
// and one the next.
function between(n) {
  const matrix = new Float32Array(n * 2 * n);
  for (let i = 0; i < 2 * n; i++) {
    const [own, next] = [i >> 1, Math.min(Math.max((i >> 1) + (i % 2 ? 1 : -1), 0), n - 1)];
    matrix[own * 2 * n + i] += 0.75;
    matrix[next * 2 * n + i] += 0.25;
  }
  return np.array(matrix, { shape: [n, 2 * n] });
}

function halve(x) {
  const [channels, height, width] = x.shape;
  return np.max(x.reshape([channels, height / 2, 2, width / 2, 2]), [2, 4]);
}

// Network -----------------------------------------------------------------------------------------

// The two readings of the paper's figure (book, "Why it fell short").
export const READINGS = {
  second: { skipFrom: "input", first: true, stride: true, connect: false },
  blog: { skipFrom: "output", first: false, stride: false, connect: true },
};

// Shapes of all weights by the names that PyTorch gives them, for
// {reading, depth, width, skip, inputs, upsampling}: levels, channels, channels of a skip,
// channels of z.
export function shapes({ reading, depth, width, skip, inputs }) {
  const { skipFrom, connect } = READINGS[reading];
  const all = {};
  const conv = (name, out, channels, size) =>
    Object.assign(all, {
      [`${name}.weight`]: [out, channels, size, size],
      [`${name}.bias`]: [out],
    });
  const norm = (name, channels) =>
    Object.assign(all, { [`${name}.weight`]: [channels], [`${name}.bias`]: [channels] });
  for (let i = 0; i < depth; i++) {
    const before = i ? width : inputs;
    (conv(`down.${i}.0`, width, before, 3), norm(`down.${i}.2`, width));
    (conv(`down.${i}.4`, width, width, 3), norm(`down.${i}.5`, width));
    (conv(`skip.${i}.0`, skip, skipFrom === "input" ? before : width, 1),
      norm(`skip.${i}.1`, skip));
    (norm(`up.${i}.body.0`, width + skip),
      conv(`up.${i}.body.1`, width, width + skip, 3),
      norm(`up.${i}.body.2`, width));
    (conv(`up.${i}.body.4`, width, width, 1), norm(`up.${i}.body.5`, width));
  }
  if (connect) {
    (conv("connect.1", width, width, 3), norm("connect.2", width));
    (conv("connect.4", width, width, 3), norm("connect.5", width));
  }
  conv("out.0", 1, width, 1);
  return all;
}

// f_θ(z): z (inputs, H, W) → a picture (H, W) with values in (0, 1).
export function draw(weights, z, { reading, depth, upsampling }) {
  const { skipFrom, first, stride, connect } = READINGS[reading];
  const of = (name) => [weights[`${name}.weight`].ref, weights[`${name}.bias`].ref];
  const act = (x, name) => nn.leakyRelu(normalise(x, ...of(name)), 0.01);

  const down = (x, d) => {
    x = conv(x, ...of(`${d}.0`), stride ? 2 : 1);
    x = act(stride ? x : halve(x), `${d}.2`);
    return act(conv(x, ...of(`${d}.4`)), `${d}.5`);
  };
  const body = (x, u) => {
    x = conv(normalise(x, ...of(`${u}.body.0`)), ...of(`${u}.body.1`));
    x = conv(act(x, `${u}.body.2`), ...of(`${u}.body.4`));
    return act(x, `${u}.body.5`);
  };
  const turn = (x) => {
    x = act(conv(halve(x), ...of("connect.1")), "connect.2");
    return upsample(act(conv(x, ...of("connect.4")), "connect.5"), upsampling);
  };

  const levels = [z];
  for (let i = 0; i < depth; i++) levels.push(down(levels[i].ref, `down.${i}`));
  let x = connect ? turn(levels[depth].ref) : levels[depth].ref;
  for (let i = depth - 1; i >= 0; i--) {
    const source = levels[skipFrom === "input" ? i : i + 1].ref;
    const skip = act(conv(source, ...of(`skip.${i}.0`)), `skip.${i}.1`);
    if (first) x = body(np.concatenate([upsample(x, upsampling), skip], 0), `up.${i}`);
    else x = upsample(body(np.concatenate([x, skip], 0), `up.${i}`), upsampling);
  }
  for (const level of levels) level.dispose();
  x = conv(x, ...of("out.0"));
  return nn.sigmoid(x.reshape(x.shape.slice(1)));
}
