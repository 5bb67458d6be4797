// What a reader can choose, with what stands at the start; and how a choice travels in a link.

const number = (low, high) => (text) => {
  const value = Number(text);
  return text !== "" && value >= low && value <= high ? value : undefined;
};
const whole = (low, high) => (text) =>
  Number.isInteger(Number(text)) ? number(low, high)(text) : undefined;
const oneOf =
  (...values) =>
  (text) =>
    values.find((value) => String(value) === text);
const word = (text) => (/^[\w-]{1,40}$/.test(text) ? text : undefined);

// name: [at the start, how it is read from text; undefined for what cannot be]
export const SETTINGS = {
  picture: ["camera", word],
  size: [64, oneOf(64, 128)],
  p: [50, whole(5, 100)], // per cent of the pixels that are known
  mask: [0, whole(0, 1e9)], // its seed
  compare: ["optimiser", oneOf("optimiser", "reading", "upsampling", "pixels", "seed", "nothing")],
  optimiser: ["muon", oneOf("adam", "muon")],
  adam: [0.01, number(1e-6, 1)], // learning rates
  muon: [0.04, number(1e-6, 1)],
  reading: ["second", oneOf("second", "blog")],
  upsampling: ["nearest", oneOf("nearest", "bilinear")],
  pixels: ["ordered", oneOf("ordered", "shuffled")],
  sigma: [90, oneOf(0, 10, 30, 90)], // z is perturbed by 1/sigma; 0: not at all
  depth: [3, oneOf(2, 3, 4)],
  width: [16, oneOf(8, 16, 32)],
  seed: [0, whole(0, 1e9)],
};

export const defaults = () =>
  Object.fromEntries(Object.entries(SETTINGS).map(([name, [value]]) => [name, value]));

// What differs from the start, as text for a link; painted holes as bits in base64.
export function encode(settings, painted) {
  const parts = Object.entries(SETTINGS)
    .filter(([name, [value]]) => settings[name] !== value)
    .map(([name]) => [name, settings[name]]);
  if (painted.some(Boolean)) {
    const bytes = new Uint8Array(painted.length / 8);
    painted.forEach((value, i) => {
      bytes[i >> 3] |= value << (i & 7);
    });
    parts.push(["holes", btoa(String.fromCharCode(...bytes))]);
  }
  return new URLSearchParams(parts).toString();
}

// Settings and painted holes from such a text; what it does not say, or says wrongly, is as at
// the start.
export function decode(text) {
  const said = new URLSearchParams(text);
  const settings = defaults();
  for (const [name, [value, read]] of Object.entries(SETTINGS))
    settings[name] = (said.has(name) ? read(said.get(name)) : undefined) ?? value;
  const painted = new Uint8Array(settings.size ** 2);
  try {
    const bytes = atob(said.get("holes") ?? "");
    if (8 * bytes.length === painted.length)
      painted.forEach((_, i) => {
        painted[i] = (bytes.charCodeAt(i >> 3) >> (i & 7)) & 1;
      });
  } catch {
    /* not base64: no holes */
  }
  return { settings, painted };
}

// The networks that the settings ask for: one, or two that differ in what is compared.
export function lanes(settings) {
  const names = {
    optimiser: { adam: "Adam", muon: "Muon" },
    reading: { blog: "the blog's reading", second: "the second reading" },
    upsampling: { nearest: "nearest", bilinear: "bilinear" },
    pixels: { ordered: "as they are", shuffled: "shuffled" },
    seed: {
      [settings.seed]: `network ${settings.seed}`,
      [settings.seed + 1]: `network ${settings.seed + 1}`,
    },
  };
  const { compare } = settings;
  if (compare === "nothing") return [{ ...settings, name: names.optimiser[settings.optimiser] }];
  const values =
    compare === "seed" ? [settings.seed, settings.seed + 1] : Object.keys(names[compare]);
  return values.map((value) => ({ ...settings, [compare]: value, name: names[compare][value] }));
}

// The network's part of a lane, as network.js wants it.
export const configOf = ({ reading, depth, width, upsampling }) => ({
  reading,
  depth,
  width,
  skip: 4,
  inputs: 16,
  upsampling,
});
