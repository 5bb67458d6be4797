// Runs side by side: which picture, what went in against what came out, and how the run went.
const NS = "http://www.w3.org/2000/svg";

function node(name, attributes, parent, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

// A small line chart; values are scaled linearly, or by their logarithm.
function chart(parent, { title, x, y, log = false, marks = [] }) {
  const [width, height, left, top, bottom] = [260, 150, 44, 20, 24];
  const svg = node("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title }, parent);
  const f = log ? Math.log10 : (v) => v;
  let [low, high] = [Math.min(...y), Math.max(...y)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low * 0.9, high * 1.1];
  const last = x[x.length - 1];
  const px = (v) => left + (v / last) * (width - left - 6);
  const py = (v) => height - bottom - ((f(v) - f(low)) / (f(high) - f(low))) * (height - top - bottom);
  node("text", { x: left, y: 12, class: "dip-title" }, svg, title);
  const label = (v) => (v >= 0.01 ? String(+v.toPrecision(3)) : v.toExponential(1));
  for (const v of [low, log ? Math.sqrt(low * high) : (low + high) / 2, high]) {
    node("line", { x1: left, x2: width - 6, y1: py(v), y2: py(v), class: "dip-grid" }, svg);
    node("text", { x: left - 4, y: py(v) + 4, "text-anchor": "end" }, svg, label(v));
  }
  for (const [v, anchor] of [[0, "start"], [last / 2, "middle"], [last, "end"]])
    node("text", { x: px(v), y: height - 8, "text-anchor": anchor }, svg, Math.round(v).toLocaleString("en"));
  node("polyline", { points: x.map((v, i) => `${px(v).toFixed(1)},${py(y[i]).toFixed(1)}`).join(" "), class: "dip-curve" }, svg);
  for (const v of marks) {
    const mark = node("path", { d: `M${px(v)},${height - bottom} l-4,7 l8,0 z`, class: "dip-mark" }, svg);
    node("title", {}, mark, `restored in iteration ${v}`);
  }
}

export default {
  render({ model, el }) {
    const runs = model.get("runs");
    el.innerHTML = `
      <div class="dip-row">
        <label>Picture <select aria-label="Picture">${runs.map((run, i) => `<option value="${i}">${run.title}</option>`).join("")}</select></label>
        <label>Compare with <select aria-label="Compare with"><option value="degraded">what was given</option><option value="truth">the truth</option></select></label>
      </div>
      <div class="dip-compare" style="--at: 50%">
        <img class="dip-after" alt=""><img class="dip-before" alt=""><div class="dip-handle"></div>
        <span class="dip-left"></span><span class="dip-right">restored</span>
        <input type="range" min="0" max="100" value="50" aria-label="Position of the divider between the two pictures, per cent">
      </div>
      <p class="dip-muted" role="status" style="text-align: center; margin-top: .5rem"></p>
      <div class="dip-plots"></div>`;
    const [which, against] = el.querySelectorAll("select");
    const [after, before] = el.querySelectorAll("img");
    const compare = el.querySelector(".dip-compare");
    const show = () => {
      const run = runs[which.value];
      after.src = run.restored;
      after.alt = `${run.title}, restored`;
      before.src = run[against.value];
      before.alt = `${run.title}, ${against.selectedOptions[0].textContent}`;
      el.querySelector(".dip-left").textContent = against.value === "truth" ? "truth" : "given";
      el.querySelector("[role=status]").textContent = run.facts;
      const plots = el.querySelector(".dip-plots");
      plots.replaceChildren();
      const { iteration: x, loss, psnr, lr, restored: marks } = run.history;
      chart(plots, { title: "loss (logarithmic)", x, y: loss, log: true, marks });
      chart(plots, { title: "PSNR, dB", x, y: psnr, marks });
      chart(plots, { title: "learning rate", x, y: lr, marks });
    };
    which.addEventListener("change", show);
    against.addEventListener("change", show);
    el.querySelector("input").addEventListener("input", (event) => compare.style.setProperty("--at", `${event.target.value}%`));
    show();
  },
};
