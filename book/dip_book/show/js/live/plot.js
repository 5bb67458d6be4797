// Curves that grow while the network learns.  One unit of the drawing is one CSS pixel: it is drawn
// anew when its width changes, and text keeps its size.
const NS = "http://www.w3.org/2000/svg";
const [LEFT, RIGHT, TOP, BOTTOM, HEIGHT] = [44, 8, 24, 22, 190];

function node(name, attributes, parent, text = "") {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  parent.append(made);
  return made;
}

// Round numbers from low to high: 1, 2 or 5 times a power of ten apart.
function ticks(low, high, count) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power * count >= high - low);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from(
    { length: Math.floor(high / step + 1e-9) - first + 1 },
    (_, i) => +((first + i) * step).toPrecision(8),
  );
}

// Of powers of ten between two logarithms, or, where there are few, of 2 and 5 times them as well.
function logTicks(low, high) {
  const between = (factors) =>
    Array.from({ length: Math.ceil(high) - Math.floor(low) + 1 }, (_, i) => Math.floor(low) + i)
      .flatMap((power) => factors.map((factor) => +(factor * 10 ** power).toPrecision(3)))
      .filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
  const decades = between([1]);
  return decades.length > 1 ? decades : between([1, 2, 5]);
}

// A plot in a parent.  Returns draw({series, levels, at}): series [{values, lane}], one value an
// iteration from 1;
// levels [{name, value}], lines across; at: the iteration that is looked at.  Words for who does
// not see it: `told`.
export function plot(parent, title, log = false) {
  const svg = node("svg", { role: "img", "aria-label": title }, parent);
  const scale = log ? Math.log10 : (value) => value;
  let [drawn, width] = [null, 0];
  const draw = ({ series, levels = [], at = null, told = "" }) => {
    width = Math.round(parent.clientWidth) || 300;
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("aria-label", `${title}. ${told}`);
    svg.replaceChildren();
    node("text", { x: 0, y: 12, class: "dip-title" }, svg, title);
    const values = [...series.flatMap((one) => one.values), ...levels.map((level) => level.value)]
      .filter(Number.isFinite)
      .map(scale);
    const last = Math.max(20, ...series.map((one) => one.values.length));
    let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
    if (high - low < 1e-6) high = low + 1;
    const room = 0.05 * (high - low);
    [low, high] = [low - room, high + room];
    const x = (iteration) => LEFT + (iteration / last) * (width - LEFT - RIGHT);
    const y = (value) => TOP + ((high - scale(value)) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const rows = log ? logTicks(low, high) : ticks(low, high, 4);
    for (const value of rows) {
      node(
        "line",
        { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "dip-grid" },
        svg,
      );
      node("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, svg, String(value));
    }
    for (const iteration of ticks(0, last, 4)) {
      const near = 4 * String(iteration).length; // half of its width
      const anchor = !iteration ? "start" : x(iteration) + near > width ? "end" : "middle";
      node("text", { x: x(iteration), y: HEIGHT - 5, "text-anchor": anchor }, svg, String(iteration));
    }
    levels.forEach(({ name, value }, i) => {
      // names at either end, so that two levels close together can be read
      node(
        "line",
        { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "dip-level" },
        svg,
      );
      node(
        "text",
        {
          x: i % 2 ? LEFT + 4 : width - RIGHT,
          y: y(value) - 3,
          "text-anchor": i % 2 ? "start" : "end",
          class: "dip-level-name",
        },
        svg,
        name,
      );
    });
    for (const { values, lane } of series) {
      const points = values
        .map((value, i) =>
          Number.isFinite(value) ? `${x(i + 1).toFixed(1)},${y(value).toFixed(1)}` : "",
        )
        .filter(Boolean);
      node("polyline", { points: points.join(" "), class: `dip-curve dip-lane-${lane}` }, svg);
    }
    if (at)
      node(
        "line",
        { x1: x(at), x2: x(at), y1: TOP, y2: HEIGHT - BOTTOM, class: "dip-cursor" },
        svg,
      );
  };
  const fit = () => {
    if (drawn && parent.clientWidth && Math.round(parent.clientWidth) !== width) draw(drawn);
  };
  if (globalThis.ResizeObserver) new ResizeObserver(fit).observe(parent);
  return (what) => draw((drawn = what));
}
