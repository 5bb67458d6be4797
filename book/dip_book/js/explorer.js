// Runs side by side: which picture and recipe, what went in against what came out, iteration by iteration.
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
  const line = node("line", { y1: top, y2: height - bottom, class: "dip-cursor" }, svg);
  const dot = node("circle", { r: 3.5, class: "dip-dot" }, svg);
  return (iteration) => {
    const i = nearest(x, iteration);
    for (const end of ["x1", "x2"]) line.setAttribute(end, px(x[i]));
    dot.setAttribute("cx", px(x[i]));
    dot.setAttribute("cy", py(y[i]));
  };
}

// Where in a rising list is the value closest to v?
function nearest(list, v) {
  let best = 0;
  list.forEach((entry, i) => { if (Math.abs(entry - v) < Math.abs(list[best] - v)) best = i; });
  return best;
}

function options(select, words) {
  select.replaceChildren(...words.map((word, i) => new Option(word, i)));
}

export default {
  render({ model, el }) {
    const runs = model.get("runs");
    const titles = [...new Set(runs.map((run) => run.title))];
    el.innerHTML = `
      <div class="dip-row">
        <label>Picture <select name="picture"></select></label>
        <label>Recipe <select name="recipe"></select></label>
        <label>Compare with <select name="against"><option value="degraded">what was given</option><option value="truth">the truth</option></select></label>
      </div>
      <div class="dip-compare" style="--at: 50%">
        <img class="dip-after" alt=""><img class="dip-before" alt=""><div class="dip-handle"></div>
        <span class="dip-left"></span><span class="dip-right"></span>
        <input type="range" name="divider" min="0" max="100" value="50" aria-label="Divider between the two pictures">
      </div>
      <div class="dip-row dip-scrub">
        <button type="button"></button>
        <label>Iteration <input type="range" name="iteration" min="0" step="1"></label>
      </div>
      <output></output>
      <div class="dip-plots"></div>
      <p class="dip-muted dip-facts"></p>`;
    const [picture, recipe, against] = el.querySelectorAll("select");
    const [after, before] = el.querySelectorAll("img");
    const [divider, scrubber] = el.querySelectorAll("input");
    const [compare, button, readout] = [".dip-compare", "button", "output"].map((name) => el.querySelector(name));
    let [run, cursors, timer] = [runs[0], [], null];

    const of = (title) => runs.filter((entry) => entry.title === title);
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = "▶ Play";
    };
    // One stop of the scrubber: an output on the way, or the last, drawn without perturbation.
    const scrub = () => {
      const at = Number(scrubber.value);
      const final = at >= run.frames.length;
      const { iteration, loss, psnr, lr } = run.history;
      const when = final ? iteration[iteration.length - 1] : run.frames[at].iteration;
      const i = nearest(iteration, when);
      after.src = final ? run.restored : run.frames[at].url;
      after.alt = `${run.title}, ${final ? "restored" : `output in iteration ${when}`}`;
      el.querySelector(".dip-right").textContent = final ? "restored" : `iteration ${when.toLocaleString("en")}`;
      const words = `${when.toLocaleString("en")}${final ? ", the end" : ""}: loss ${loss[i].toPrecision(2)}, ${psnr[i].toFixed(1)} dB, learning rate ${lr[i]}`;
      readout.textContent = words;
      scrubber.setAttribute("aria-valuetext", `iteration ${words}`);
      for (const move of cursors) move(when);
    };
    const showAgainst = () => {
      const words = against.selectedOptions[0].textContent;
      before.src = run[against.value];
      before.alt = `${run.title}, ${words}`;
      el.querySelector(".dip-left").textContent = against.value === "truth" ? "truth" : "given";
    };
    const showRun = () => {
      stop();
      run = of(titles[picture.value])[recipe.value];
      const steps = run.frames.length;
      [scrubber.max, scrubber.value, scrubber.disabled, button.disabled] = [steps, steps, !steps, !steps];
      el.querySelector(".dip-facts").textContent = run.facts;
      const plots = el.querySelector(".dip-plots");
      plots.replaceChildren();
      const { iteration: x, loss, psnr, lr, restored: marks } = run.history;
      cursors = [
        chart(plots, { title: "loss (logarithmic)", x, y: loss, log: true, marks }),
        chart(plots, { title: "PSNR, dB", x, y: psnr, marks }),
        chart(plots, { title: "learning rate", x, y: lr, marks }),
      ];
      showAgainst();
      scrub();
    };
    const showPicture = () => {
      const kept = recipe.selectedOptions[0]?.textContent;
      const names = of(titles[picture.value]).map((entry) => entry.recipe);
      options(recipe, names);
      recipe.value = Math.max(0, names.indexOf(kept));
      showRun();
    };
    const step = () => {
      if (Number(scrubber.value) >= run.frames.length) return stop();
      scrubber.value = Number(scrubber.value) + 1;
      scrub();
    };

    picture.addEventListener("change", showPicture);
    recipe.addEventListener("change", showRun);
    against.addEventListener("change", showAgainst);
    scrubber.addEventListener("input", () => { stop(); scrub(); });
    divider.addEventListener("input", () => {
      compare.style.setProperty("--at", `${divider.value}%`);
      divider.setAttribute("aria-valuetext", `${divider.value} per cent from the left`);
    });
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(scrubber.value) >= run.frames.length) scrubber.value = 0;
      button.textContent = "❚❚ Pause";
      timer = setInterval(step, 450);
      scrub();
    });
    options(picture, titles);
    showPicture();
    return stop; // a timer must not outlive its figure
  },
};
