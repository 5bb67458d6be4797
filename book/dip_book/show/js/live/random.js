// Random numbers from a seed, the same in every browser: xoshiro128** (Blackman and Vigna 2018),
// seeded by splitmix32.

export function generator(seed) {
  let words = Uint32Array.from({ length: 4 }, () => {
    seed = (seed + 0x9e3779b9) | 0;
    let x = seed ^ (seed >>> 16);
    x = Math.imul(x, 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return x ^ (x >>> 15);
  });
  const turned = (x, by) => (x << by) | (x >>> (32 - by));
  const uniform = () => {
    const drawn = Math.imul(turned(Math.imul(words[1], 5), 7), 9) >>> 0;
    const kept = words[1] << 9;
    words[2] ^= words[0];
    words[3] ^= words[1];
    words[1] ^= words[2];
    words[0] ^= words[3];
    words[2] ^= kept;
    words[3] = turned(words[3], 11);
    return drawn / 2 ** 32;
  };
  return {
    uniform, // in [0, 1)
    // count values of N(0, deviation²), by Box and Muller
    normal(count, deviation) {
      const values = new Float32Array(count);
      if (deviation)
        for (let i = 0; i < count; i += 2) {
          const length = deviation * Math.sqrt(-2 * Math.log(1 - uniform()));
          const angle = 2 * Math.PI * uniform();
          values[i] = length * Math.cos(angle);
          if (i + 1 < count) values[i + 1] = length * Math.sin(angle);
        }
      return values;
    },
    // 0 … count − 1 in another order
    order(count) {
      const order = Uint32Array.from({ length: count }, (_, i) => i);
      for (let i = count - 1; i > 0; i--) {
        const j = Math.floor(uniform() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
      return order;
    },
    state: () => Array.from(words),
    load: (kept) => {
      words = Uint32Array.from(kept);
    },
  };
}
