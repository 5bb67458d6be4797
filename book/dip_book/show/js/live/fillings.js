// What fills a hole without any network: the mean of what is known, and the smoothest surfaces
// through it.
// given and mask: Float32Array of size·size, mask 1 where a pixel is known.  Known pixels stay
// as they are.

export function mean(given, mask) {
  let [sum, count] = [0, 0];
  mask.forEach((known, i) => {
    sum += known * given[i];
    count += known;
  });
  return given.map((value, i) => (mask[i] ? value : sum / count));
}

// Least squared slope: a membrane.  Every missing pixel is the mean of its neighbours.
export function harmonic(given, mask, size) {
  return smoothest(given, mask, size, laplacian, mean(given, mask));
}

// Least squared Laplacian: a thin plate.
export function biharmonic(given, mask, size) {
  const twice = (u, size) => laplacian(laplacian(u, size), size);
  return smoothest(given, mask, size, twice, harmonic(given, mask, size));
}

// Each pixel's neighbours, of those that there are, less the pixel; with the sign that makes the
// operator positive.
function laplacian(u, size) {
  const result = new Float64Array(u.length);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const i = y * size + x;
      if (y > 0) result[i] += u[i] - u[i - size];
      if (y < size - 1) result[i] += u[i] - u[i + size];
      if (x > 0) result[i] += u[i] - u[i - 1];
      if (x < size - 1) result[i] += u[i] - u[i + 1];
    }
  return result;
}

// Solves (operator u) = 0 at the missing pixels for u that is given at the known ones, by
// conjugate gradients.
function smoothest(given, mask, size, operator, start) {
  const missing = (v) => v.map((value, i) => (mask[i] ? 0 : value));
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const u = Float64Array.from(start, (value, i) => (mask[i] ? given[i] : value));
  let residual = missing(operator(u, size)).map((value) => -value);
  let direction = residual.slice();
  let length = dot(residual, residual);
  const enough = 1e-12 * given.length;
  for (let i = 0; i < 20 * size && length > enough; i++) {
    const moved = missing(operator(direction, size));
    const step = length / dot(direction, moved);
    for (let k = 0; k < u.length; k++) {
      u[k] += step * direction[k];
      residual[k] -= step * moved[k];
    }
    const next = dot(residual, residual);
    for (let k = 0; k < u.length; k++) direction[k] = residual[k] + (next / length) * direction[k];
    length = next;
  }
  return Float32Array.from(u, (value) => Math.min(1, Math.max(0, value)));
}
