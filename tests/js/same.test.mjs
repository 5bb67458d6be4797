// The network, its gradient and a step of either optimiser: the same numbers as PyTorch's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, maskedLoss, packed, unpacked } from "../../book/dip_book/show/js/live/fit.js";
import { draw, shapes } from "../../book/dip_book/show/js/live/network.js";
import { largest, np, read, valueAndGrad } from "./data.mjs";

const cases = read("cases.json");
const plain = (packed, config) =>
  Object.entries(unpacked(packed, config)).map(([name, array]) => [name, array.dataSync()]);

for (const {
  config,
  size,
  z,
  weights,
  given,
  mask,
  output,
  loss,
  gradient,
  after_adam,
  after_muon,
} of cases) {
  const name = `${config.reading}, ${config.upsampling}`;
  const arrays = () => packed(weights, config);
  const square = (values) => np.array(new Float32Array(values), { shape: [size, size] });
  const input = () => np.array(new Float32Array(z), { shape: [config.inputs, size, size] });
  const lossOf = (arrays) => {
    const all = unpacked(arrays, config);
    const drawn = draw(all, input(), config);
    for (const weight of Object.values(all)) weight.dispose();
    return maskedLoss(drawn, square(given), square(mask));
  };

  test(`${name}: the weights have PyTorch's names`, () => {
    assert.deepEqual(Object.keys(shapes(config)).sort(), Object.keys(weights).sort());
  });

  test(`${name}: one output`, () => {
    const drawn = draw(unpacked(arrays(), config), input(), config);
    assert.deepEqual(drawn.shape, [size, size]);
    assert.ok(largest(drawn.dataSync(), output) < 1e-4);
  });

  test(`${name}: one loss, one gradient`, () => {
    const [value, gradients] = valueAndGrad(lossOf)(arrays());
    assert.ok(Math.abs(value.js() - loss) < 1e-5);
    for (const [weight, values] of plain(gradients, config))
      assert.ok(largest(values, gradient[weight]) < 1e-4, weight);
  });

  test(`${name}: the gradient is that of finite differences`, () => {
    const [, gradients] = valueAndGrad(lossOf)(arrays());
    const direction = Object.fromEntries(plain(gradients, config));
    const length = Math.sqrt(
      Object.values(direction).reduce(
        (sum, values) => sum + values.reduce((a, b) => a + b * b, 0),
        0,
      ),
    );
    const step = 5e-4;
    const at = (sign) =>
      lossOf(
        packed(
          Object.fromEntries(
            Object.entries(weights).map(([key, values]) => [
              key,
              values.map((value, i) => value + (sign * step * direction[key][i]) / length),
            ]),
          ),
          config,
        ),
      ).js();
    const measured = (at(1) - at(-1)) / (2 * step);
    assert.ok(Math.abs(measured / length - 1) < 0.02, `${measured} and ${length}`);
  });

  for (const [optimiser, rate, after] of [
    ["adam", 0.003, after_adam],
    ["muon", 0.02, after_muon],
  ])
    test(`${name}: one step of ${optimiser}`, () => {
      const zeros = () =>
        packed(
          Object.fromEntries(
            Object.entries(weights).map(([key, values]) => [key, values.map(() => 0)]),
          ),
          config,
        );
      const noise = np.zeros([config.inputs, size, size]);
      const [, , next] = compiled(config, optimiser)(
        arrays(),
        zeros(),
        zeros(),
        input(),
        noise,
        square(given),
        square(mask),
        np.array(1),
        np.array(rate),
        np.array(0.003),
      );
      const differences = plain(next, config).map(([weight, values]) => {
        // A first step of Adam has the length of its rate, whatever the gradient's:
        // where that is all but zero, its sign is chance.
        const sure = values.map((value, i) =>
          Math.abs(gradient[weight][i]) > 1e-5 ? value : after[weight][i],
        );
        return [weight, largest(sure, after[weight])];
      });
      for (const [weight, difference] of differences)
        assert.ok(difference < 1e-4, `${weight}: ${difference}`);
    });
}
