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

// Round numbers, 1, 2 or 5 times a power of ten apart, from at most low to at least high.
function ticks(low, high, count = 3) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = power * [1, 2, 5, 10].find((m) => m * power * count >= (high - low) * 0.999);
  const from = Math.floor(low / step + 1e-9);
  return Array.from({ length: Math.ceil(high / step - 1e-9) - from + 1 }, (_, k) => +((from + k) * step).toPrecision(10));
}

// The same for a logarithmic axis: 1, 2 and 5 times powers of ten.
function logTicks(low, high) {
  const from = Math.floor(Math.log10(low));
  const all = [];
  for (let k = from; k <= Math.log10(high) + 1; k++) for (const m of [1, 2, 5]) all.push(+(m * 10 ** k).toPrecision(3));
  const [first, last] = [all.findLastIndex((v) => v <= low * 1.001), all.findIndex((v) => v >= high * 0.999)];
  return all.slice(first, last + 1);
}

const figure = (v) => (v === 0 ? "0" : Math.abs(v) >= 0.0001 ? (+v.toPrecision(3)).toLocaleString("en", { maximumFractionDigits: 6 }) : v.toExponential(0));

// A point's mark, as the book's plots have it.
function point(mark, x, y, parent) {
  const shapes = { o: "m-3,0a3,3 0 1 0 6,0a3,3 0 1 0 -6,0z", s: "m-2.7,-2.7h5.4v5.4h-5.4z", "^": "m-3.4,2.6h6.8l-3.4,-6z", v: "m-3.4,-2.6h6.8l-3.4,6z", D: "m0,-3.8l3.8,3.8l-3.8,3.8l-3.8,-3.8z" };
  return node("path", { d: `M${x.toFixed(1)},${y.toFixed(1)}${shapes[mark] ?? shapes[mark?.toUpperCase()] ?? shapes.o}`, class: "dip-point" }, parent);
}

// Series [{x, y, name, colour, dash, mark, end}] on one pair of axes; values are scaled linearly, or by their logarithm.
// Several series are told apart by colour and pattern and named above the plot; `points` marks each value;
// `end`: a value that belongs to the last x without being on the curve; `words` says what it is.
// `settled`: the axis begins under what comes after the first tenth of a curve; what is lower before runs along its edge.
// One unit of the drawing is one CSS pixel: it is drawn anew when its width changes, and text keeps its size.
// Returns a function that moves the cursor to some x.
function chart(parent, { title, series, log = false, marks = [], points = false, xs, words = "", settled = false }) {
  const drawn = series
    .map((one) => ({ ...one, kept: one.x.map((v, i) => [v, one.y[i]]).filter(([, v]) => Number.isFinite(v) && (!log || v > 0)) }))
    .filter(({ kept }) => kept.length);
  if (!drawn.length) return () => {};
  const several = drawn.length > 1;
  const dashes = new Set();
  for (const one of drawn) {
    if (dashes.has(one.dash ?? "")) one.dash = ["", "6 3", "1.5 2.5"].find((other) => !dashes.has(other)) ?? one.dash;
    dashes.add(one.dash ?? "");
  }
  const label = `${title}${several ? `: ${drawn.map(({ name }) => name).join("; ")}` : ""}`;
  const svg = node("svg", { role: "img", "aria-label": label }, parent);
  const f = log ? Math.log10 : (v) => v;
  const values = (from) => drawn.flatMap(({ kept, end }) => [...kept.filter(([x]) => x >= from * kept[kept.length - 1][0]).map(([, v]) => v), ...(Number.isFinite(end) ? [end] : [])]);
  let [low, high] = [Math.min(...values(settled ? 0.1 : 0)), Math.max(...values(0))];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [Math.min(0, low), Math.max(0, high) || 1];
  const rows = log ? logTicks(low, high) : ticks(low, high);
  [low, high] = [rows[0], rows[rows.length - 1]];
  const decades = rows.filter((v) => Math.abs(Math.log10(v) % 1) < 1e-6);
  const last = xs ? xs[xs.length - 1] : Math.max(1, ...drawn.flatMap(({ kept }) => kept.map(([v]) => v)));
  const [left, bottom, line] = [50, 24, 17];
  const top = 26 + (several ? line * drawn.length : 0);
  let [width, place, now] = [0, () => {}, null];

  const draw = () => {
    const plot = Math.min(180, Math.max(108, Math.round(0.42 * width)));
    const height = top + plot + bottom;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    const px = (v) => left + (v / last) * (width - left - 8);
    const py = (v) => top + plot - ((f(Math.max(v, low)) - f(low)) / (f(high) - f(low))) * plot;
    node("text", { x: 0, y: 12, class: "dip-title" }, svg, title);
    for (const v of log && rows.length > 5 && decades.length > 1 ? decades : rows) {
      node("line", { x1: left, x2: width - 8, y1: py(v), y2: py(v), class: "dip-grid" }, svg);
      node("text", { x: left - 5, y: py(v) + 4, "text-anchor": "end" }, svg, figure(v));
    }
    const many = Math.max(2, Math.min(6, Math.floor((width - left) / 46)));
    for (const v of xs ?? ticks(0, last, many).filter((v) => v <= last * 1.001)) {
      const anchor = v === 0 ? "start" : px(v) > width - 22 ? "end" : "middle";
      node("text", { x: anchor === "end" ? width : px(v), y: height - 7, "text-anchor": anchor }, svg, figure(v));
    }
    const most = Math.floor((width - 28) / 6.2); // characters of a name
    drawn.forEach(({ kept, name, colour, dash, mark, end }, n) => {
      const group = node("g", { class: `dip-series dip-${n}` }, svg);
      if (colour) group.style.setProperty("--dip-own", colour);
      const pattern = several && dash ? { "stroke-dasharray": dash } : {};
      node("polyline", { points: kept.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" "), class: "dip-curve", ...pattern }, group);
      if (points) for (const [x, y] of kept) point(mark, px(x), py(y), group);
      if (Number.isFinite(end)) node("title", {}, point("D", px(kept[kept.length - 1][0]), py(end), group), words);
      if (!several) return;
      const y = 13 + line * (n + 1);
      node("line", { x1: 0, x2: 22, y1: y - 4, y2: y - 4, class: "dip-curve", ...pattern }, group);
      if (points) point(mark, 11, y - 4, group);
      const told = node("text", { x: 28, y, class: "dip-name" }, group, name.length > most ? `${name.slice(0, most - 1)}…` : name);
      if (name.length > most) node("title", {}, told, name);
    });
    for (const v of marks) {
      const mark = node("path", { d: `M${px(v).toFixed(1)},${top + plot - 7}l-4,7h8z`, class: "dip-mark" }, svg);
      node("title", {}, mark, `went back in iteration ${v}`);
    }
    const cursor = node("line", { y1: top, y2: top + plot, class: "dip-cursor" }, svg);
    const dots = points ? [] : drawn.map((_, n) => node("circle", { r: 3.5, class: "dip-dot" }, svg.querySelector(`.dip-${n}`)));
    place = (at) => {
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, px(Math.min(at, last)));
      dots.forEach((dot, n) => {
        const [x, y] = drawn[n].kept[nearest(drawn[n].kept.map(([v]) => v), at)];
        dot.setAttribute("cx", px(x));
        dot.setAttribute("cy", py(y));
      });
    };
    if (now !== null) place(now);
  };
  const fit = () => {
    const wide = Math.round(svg.clientWidth) || width || 260;
    if (wide === width) return;
    width = wide;
    draw();
  };
  fit();
  if (window.ResizeObserver) new ResizeObserver(fit).observe(svg);
  return (at) => { now = at; place(at); };
}
