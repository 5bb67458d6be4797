// Small line charts.  Not a figure of its own: `views.script` puts it before the scripts that draw with it.
const NS = "http://www.w3.org/2000/svg";

function node(name, attributes, parent, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// Where in a rising list is the value closest to v?
function nearest(list, v) {
  let best = 0;
  list.forEach((entry, i) => { if (Math.abs(entry - v) < Math.abs(list[best] - v)) best = i; });
  return best;
}

// Series [{x, y, name}] on one pair of axes; values are scaled linearly, or by their logarithm.
// Several series get the style classes dip-0, dip-1, … and their names in the corner; `points` marks each value.
// Returns a function that moves the cursor to some x.
function chart(parent, { title, series, log = false, marks = [], points = false, xs }) {
  const [width, height, left, top, bottom] = [260, 150, 44, 20, 24];
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, parent);
  const f = log ? Math.log10 : (v) => v;
  const values = series.flatMap(({ y }) => y);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low * 0.9, high * 1.1];
  const last = xs ? xs[xs.length - 1] : Math.max(...series.flatMap(({ x }) => x));
  const px = (v) => left + (v / last) * (width - left - 6);
  const py = (v) => height - bottom - ((f(v) - f(low)) / (f(high) - f(low))) * (height - top - bottom);
  node("text", { x: left, y: 12, class: "dip-title" }, svg, title);
  const label = (v) => (v >= 0.01 ? String(+v.toPrecision(3)) : v.toExponential(1));
  for (const v of [low, log ? Math.sqrt(low * high) : (low + high) / 2, high]) {
    node("line", { x1: left, x2: width - 6, y1: py(v), y2: py(v), class: "dip-grid" }, svg);
    node("text", { x: left - 4, y: py(v) + 4, "text-anchor": "end" }, svg, label(v));
  }
  const ticks = xs ?? [0, last / 2, last];
  ticks.forEach((v, i) => {
    const anchor = i === 0 && v === 0 ? "start" : i === ticks.length - 1 ? "end" : "middle";
    node("text", { x: px(v), y: height - 8, "text-anchor": anchor }, svg, xs ? String(v) : Math.round(v).toLocaleString("en"));
  });
  series.forEach(({ x, y, name }, n) => {
    const line = x.map((v, i) => `${px(v).toFixed(1)},${py(y[i]).toFixed(1)}`).join(" ");
    node("polyline", { points: line, class: `dip-curve dip-${n}` }, svg);
    if (points) x.forEach((v, i) => node(n ? "rect" : "circle", n
      ? { x: px(v) - 2.5, y: py(y[i]) - 2.5, width: 5, height: 5, class: `dip-point dip-${n}` }
      : { cx: px(v), cy: py(y[i]), r: 3, class: `dip-point dip-${n}` }, svg));
    if (name) node("text", { x: width - 8, y: height - bottom - 6 - 13 * (series.length - 1 - n), "text-anchor": "end", class: `dip-name dip-${n}` }, svg, `${n ? "■" : "●"} ${name}`);
  });
  for (const v of marks) {
    const mark = node("path", { d: `M${px(v)},${height - bottom} l-4,7 l8,0 z`, class: "dip-mark" }, svg);
    node("title", {}, mark, `went back in iteration ${v}`);
  }
  const line = node("line", { y1: top, y2: height - bottom, class: "dip-cursor" }, svg);
  const dot = series.length === 1 && !points ? node("circle", { r: 3.5, class: "dip-dot" }, svg) : null;
  return (at) => {
    const { x, y } = series[0];
    const i = nearest(x, at);
    for (const end of ["x1", "x2"]) line.setAttribute(end, px(dot ? x[i] : at));
    dot?.setAttribute("cx", px(x[i]));
    dot?.setAttribute("cy", py(y[i]));
  };
}
