// Pictures on both sides of a divider: what was given, the truth, interpolation, and what any run drew, iteration by iteration.
// With a kernel behind it (dip_book.explorer) it also starts, pauses and stops a run, and shows it grow.
function options(select, names) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i)));
}

// What a side shows besides runs: key of an entry → its name.  Those that no run of a picture has are left out.
const STILLS = {
  degraded: "what was given", biharmonic: "biharmonic interpolation", linear: "linear interpolation", nlm: "non-local means",
  tv: "total variation", wavelet: "wavelet shrinkage", bm3d: "BM3D", bicubic: "bicubic interpolation",
  lanczos: "Lanczos interpolation", projected: "bicubic, back-projected", telea: "Telea's fast marching",
  truth: "the truth",
};
// Colours and patterns for a run whose own another run of the picture has already.
const SPARE = ["#0a7d91", "#c2410c", "#6d28d9", "#4d7c0f", "#be185d", "#1d4ed8", "#6b7280", "#92400e", "#0f766e", "#a21caf", "#1f2937"];
const PATTERNS = ["", "6 3", "1.5 2.5", "7 2 1.5 2", "10 4", "4 2 1 2 1 2"];
const SIDES = ["left", "right"];
const count = (n) => n.toLocaleString("en");
// A column of a history at an iteration: as noted, or [between its neighbours, true] where no such iteration was.
function noted(history, key, at) {
  const { iteration, [key]: values } = history;
  const i = nearest(iteration, at);
  if (iteration[i] === at || !iteration.length) return [values[i], false];
  const [a, b] = iteration[i] < at ? [i, i + 1] : [i - 1, i];
  const share = (at - iteration[a]) / (iteration[b] - iteration[a]);
  const between = values[a] + share * (values[b] - values[a]);
  return [values[a] !== null && values[b] !== null && Number.isFinite(between) ? between : values[i], true];
}
const decibels = (v) => (Number.isFinite(v) ? `${v.toFixed(2)} dB` : "");

export default {
  render({ model, el }) {
    ownKeys(el);
    const runs = [...model.get("runs")];
    const [plain, still] = [model.get("compact"), window.matchMedia?.("(prefers-reduced-motion: reduce)").matches];
    const titles = () => [...new Set(runs.map((run) => run.title))];
    el.classList.add("dip-view", "tex2jax_ignore", "mathjax_ignore", ...(plain ? ["dip-compact"] : []));
    el.innerHTML = `
      <div class="dip-row dip-which"><label>Picture <select name="picture"></select></label></div>
      <div class="dip-sides">
        ${SIDES.map((side) => `<label><span>${side}</span><select name="${side}"></select></label>`).join("")}
      </div>
      <p class="dip-muted dip-single" hidden>Only one picture of this image is stored here.</p>
      <div class="dip-tolds"><span class="dip-told"></span><span class="dip-told"></span></div>
      <div class="dip-compare" style="--at: 50%">
        <img class="dip-after" alt=""><img class="dip-before" alt="">
        <p class="dip-nothing" hidden></p><div class="dip-handle"></div>
        <input type="range" name="divider" min="0" max="100" value="50" aria-label="Divider between the two pictures">
      </div>
      <div class="dip-row dip-scrub">
        <button type="button"></button>
        <label>Iteration <input type="range" name="iteration" min="0" step="1"></label>
      </div>
      <output aria-live="off"></output>
      <div class="dip-plots"></div>
      <p class="dip-muted dip-facts"></p>`;
    const [picture, ...selects] = el.querySelectorAll("select");
    const [divider, scrubber] = el.querySelectorAll("input");
    const [compare, button, readout, nothing, plots] = [".dip-compare", "button", "output", ".dip-nothing", ".dip-plots"].map((name) => el.querySelector(name));
    const images = ["before", "after"].map((name) => el.querySelector(`.dip-${name}`)); // left, right
    const labels = [...el.querySelectorAll(".dip-told")];
    let [cursors, timer, stops] = [[], null, []];

    const of = (title) => runs.filter((entry) => entry.title === title);
    const group = () => of(titles()[picture.value]);
    // A side's run, or null.
    const chosen = (side) => (selects[side].value.startsWith("run-") ? group()[Number(selects[side].value.slice(4))] : null);
    // The runs that are shown, that of the left first, each once.
    const moving = () => [...new Set([chosen(0), chosen(1)].filter(Boolean))];
    // "left: " or "right: " where both sides show runs.
    const where = (run) => (moving().length > 1 ? `${SIDES[run === chosen(0) ? 0 : 1]}: ` : "");
    // How a run's curve is drawn: as its method's if no earlier run of the picture is, and the same whatever it is compared with.
    const looks = new Map();
    const look = (run) => {
      for (const one of of(run.title)) {
        if (looks.has(one)) continue;
        const before = of(run.title).map((other) => looks.get(other)).filter(Boolean);
        const free = (key, own, list) => [own, ...list].find((v) => v !== undefined && before.every((other) => other[key] !== v)) ?? own;
        looks.set(one, { ...one.line, colour: free("colour", one.line?.colour, SPARE), dash: free("dash", one.line?.dash, PATTERNS) });
      }
      return looks.get(run);
    };
    // Where a still comes from: the other side's run if it has one, for runs may differ in size or mask.
    const source = (side, key) => [chosen(1 - side), ...group()].find((run) => run && run[key] !== null && run[key] !== undefined);
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = Number(scrubber.value) >= stops.length ? "↻ Replay" : "▶ Play";
    };
    // The number of a picture that several runs share, or the picture itself.
    const url = (shown) => (typeof shown === "number" ? model.get("pictures")[shown] : shown);
    // What a run has to show at an iteration: the nearest output that is stored, or what it ended with.
    const output = (run, when, final) => {
      const { iteration } = run.history;
      const last = iteration[iteration.length - 1] ?? Infinity;
      if (final || !run.frames.length || when > last) {
        const told = run.growing ? "so far" : "the end";
        return { src: run.restored, words: "restored", at: Math.min(last, when), told: [told, decibels(run.psnr)] };
      }
      const frame = run.frames[nearest(run.frames.map((entry) => entry.iteration), when)];
      const [psnr, about] = noted(run.history, "psnr", frame.iteration);
      return { src: frame.url, words: `output in iteration ${frame.iteration}`, at: frame.iteration, told: [`iteration ${count(frame.iteration)}`, about && Number.isFinite(psnr) ? `≈ ${psnr.toFixed(1)} dB` : decibels(psnr)] };
    };
    // One stop of the scrubber: an output on the way, or the last, drawn without perturbation.
    const scrub = () => {
      const at = Number(scrubber.value);
      const final = at >= stops.length;
      const shown = moving();
      const when = final ? Math.max(0, ...shown.map((run) => run.history.iteration[run.history.iteration.length - 1] ?? 0)) : stops[at];
      const gone = [];
      images.forEach((img, side) => {
        const run = chosen(side);
        const key = selects[side].value;
        const from = run ? null : source(side, key);
        const { src, words, told } = run
          ? output(run, when, final)
          : { src: from && url(from[key]), words: STILLS[key], told: [key === "truth" ? "" : decibels(from?.quality?.[key])] };
        const name = run ? `${run.recipe}, ${words}` : words;
        if (src) img.src = src;
        img.hidden = !src;
        img.alt = src ? `${run?.title ?? titles()[picture.value]}, ${name}` : "";
        labels[side].textContent = told.filter(Boolean).join(": ");
        if (!src) gone.push(run ? "No picture is kept of this run, only its curves." : "This picture is not at hand.");
      });
      [nothing.hidden, nothing.textContent] = [!gone.length, gone[0] ?? ""];
      nothing.style.setProperty("--side", images[0].hidden && images[1].hidden ? "0 0 0 0" : images[0].hidden ? "0 50% 0 0" : "0 0 0 50%");
      // Each line is about the iteration that its picture is of; ≈ where that was not noted, but iterations before and after it.
      const stored = shown.map((run) => output(run, when, final).at);
      const apart = new Set(stored).size > 1;
      const lines = shown.filter((run) => run.history.iteration.length).map((run) => {
        const shows = stored[shown.indexOf(run)];
        const [loss, about] = noted(run.history, "loss", shows);
        const lr = run.history.lr[nearest(run.history.iteration, shows)];
        const told = `loss ${about ? "≈ " : ""}${loss?.toPrecision(2) ?? "–"}, learning rate ${lr === null ? "–" : +lr.toPrecision(3)}`;
        return where(run) + (shown.length === 1 || (apart && final) ? `iteration ${count(shows)}: ` : "") + told;
      });
      if (shown.length > 1 && !final)
        lines.unshift(`iteration ${count(when)}${apart ? `, nearest stored: ${stored.map(count).join(" | ")}` : ""}`);
      readout.replaceChildren(...(plain ? [] : lines).map((line) => {
        const told = document.createElement("div");
        told.textContent = line;
        return told;
      }));
      scrubber.setAttribute("aria-valuetext", `iteration ${count(when)}${final ? ", the end" : ""}; ${labels.map((label, i) => `${SIDES[i]} ${label.textContent}`).join(", ")}`);
      for (const move of cursors) move(when);
      if (!timer) stop();
    };
    // The sides as chosen, at one of their stops or at the end.
    const showSides = (at) => {
      const shown = moving();
      stops = [...new Set(shown.flatMap((run) => run.frames.map((frame) => frame.iteration)))].sort((a, b) => a - b);
      const none = !stops.length;
      [scrubber.max, scrubber.value, scrubber.disabled, button.disabled] = [stops.length, at ?? stops.length, none, none];
      el.querySelector(".dip-scrub").hidden = none;
      const facts = el.querySelector(".dip-facts");
      const why = !shown.length ? "Choose a run on one side to see how it went." : none ? "Nothing to play: of this run no outputs on the way are kept." : "";
      facts.replaceChildren(...[why, ...(plain ? [] : shown.map((run) => (shown.length > 1 ? `${where(run)}${run.recipe}. ` : "") + run.facts))].filter(Boolean).map((line) => {
        const told = document.createElement("span");
        told.textContent = line;
        return told;
      }));
      compare.style.setProperty("--ratio", (chosen(1) ?? chosen(0) ?? group()[0]).ratio ?? 1);
      compare.classList.toggle("dip-alone", selects[0].value === selects[1].value);
      plots.replaceChildren();
      cursors = [];
      if (!plain && shown.length) {
        const marks = [...new Set(shown.flatMap((run) => run.history.backtracked))];
        const series = (key) => shown.map((run) => ({ x: run.history.iteration, y: run.history[key], name: where(run) + run.recipe, ...look(run), ...(key === "psnr" && !run.growing ? { end: run.psnr } : {}) }));
        cursors = [
          chart(plots, { title: "loss (logarithmic)", series: series("loss"), log: true, marks }),
          chart(plots, { title: "PSNR, dB (◆ the end, no noise in z)", series: series("psnr"), marks, settled: true, words: "the end, drawn without noise in z" }),
          chart(plots, { title: "learning rate", series: series("lr"), marks }),
        ];
      }
      scrub();
    };
    // What both sides offer for a picture; kept is what was chosen, by name.
    const offer = (kept) => {
      const entries = group();
      selects.forEach((select, side) => {
        const stills = Object.entries(STILLS).map(([key, name]) => {
          const there = entries.some((run) => run[key] !== null && run[key] !== undefined);
          const option = new Option(there ? name : `${name} (not at hand)`, key);
          option.disabled = !there;
          return option;
        }).filter((option) => !option.disabled || ["degraded", "truth"].includes(option.value));
        select.replaceChildren(...stills, ...entries.map((run, i) => new Option(run.recipe, `run-${i}`)));
        const free = [...select.options].filter((option) => !option.disabled);
        const same = free.find((option) => option.textContent === kept[side]);
        const first = Math.max(0, entries.findIndex((run) => run.frames.length));
        const other = entries.findIndex((run, i) => i !== first && run.restored);
        const begin = side ? `run-${first}` : stills.some((option) => option.value === "degraded" && !option.disabled) ? "degraded" : `run-${other < 0 ? first : other}`;
        select.value = same ? same.value : begin;
      });
      // With one picture there is nothing to divide, and nothing to choose but that.
      const pictures = [...selects[1].options].filter(({ disabled, value }) => !disabled && (!value.startsWith("run-") || ((run) => run.restored || run.frames.length)(entries[Number(value.slice(4))])));
      const single = pictures.length === 1;
      if (single) for (const select of selects) select.value = pictures[0].value;
      el.querySelector(".dip-sides").classList.toggle("dip-one", single && entries.length === 1);
      el.querySelector(".dip-single").hidden = !single;
      labels[0].hidden = single;
    };
    const names = () => selects.map((select) => select.selectedOptions[0]?.textContent);
    const showPicture = () => {
      offer(names());
      stop();
      showSides();
    };
    const step = () => {
      scrubber.value = Number(scrubber.value) + 1;
      scrub();
      if (Number(scrubber.value) >= stops.length) stop();
    };
    const play = () => {
      clearInterval(timer);
      if (Number(scrubber.value) >= stops.length) scrubber.value = 0;
      timer = setInterval(step, Math.min(500, 8000 / (stops.length + 1)));
      button.textContent = "❚❚ Pause";
      scrub();
    };

    picture.addEventListener("change", showPicture);
    for (const select of selects) select.addEventListener("change", () => { stop(); showSides(); });
    scrubber.addEventListener("input", () => { stop(); scrub(); });
    divider.addEventListener("input", () => {
      compare.style.setProperty("--at", `${divider.value}%`);
      divider.setAttribute("aria-valuetext", `${divider.value} per cent from the left`);
    });
    button.addEventListener("click", () => { if (timer) stop(); else play(); });
    options(picture, titles());
    picture.value = Math.max(0, titles().indexOf(runs.find((run) => run.frames.length)?.title));
    el.querySelector(".dip-which").hidden = titles().length < 2 && !model.get("offers");
    if (runs.length) showPicture();
    else stop();

    // It plays once, when it is first seen; not for readers who want no motion, nor after a choice of theirs.
    let seen = null;
    const done = () => { seen?.disconnect(); seen = null; };
    if (!still && stops.length && window.IntersectionObserver) {
      seen = new IntersectionObserver((entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        done();
        if (!timer && stops.length) play();
      }, { threshold: 0.6 });
      seen.observe(compare);
      for (const event of ["pointerdown", "keydown", "input"]) el.addEventListener(event, done, { once: true });
    }

    const show = (entry) => {
      options(picture, titles());
      picture.value = titles().indexOf(entry.title);
      el.querySelector(".dip-which").hidden = false;
      offer(names());
      selects[1].value = `run-${of(entry.title).indexOf(entry)}`;
      stop();
      showSides();
    };
    const grown = (entry, news) => {
      const at = stops[Number(scrubber.value)]; // none: the reader is at the end, and stays there
      Object.assign(entry, news.now);
      if (news.frame) entry.frames.push(news.frame);
      if (entry.frames.length > 60) entry.frames = entry.frames.filter((_, i) => i % 2); // half of them tell the story too
      if (!moving().includes(entry)) return;
      showSides();
      if (at !== undefined && stops.length) { scrubber.value = nearest(stops, at); scrub(); }
    };
    const refresh = () => {
      const kept = picture.value;
      runs.push(...model.get("runs").slice(runs.length));
      options(picture, titles());
      picture.value = kept || 0;
      offer(names());
      showSides();
    };
    const away = model.get("offers") ? controls(model, el, { runs, show, grown, refresh }) : () => {};
    return () => { done(); stop(); away(); }; // a timer must not outlive its figure
  },
};

// What only a kernel can do.  Returns what takes the listener away again.
function controls(model, el, { runs, show, grown, refresh }) {
  const offers = model.get("offers");
  const row = document.createElement("fieldset");
  row.className = "dip-row dip-run";
  row.innerHTML = `
    <legend>Run one here</legend>
    <label>Picture <select name="run-picture"></select></label>
    <label>Recipe <select name="run-recipe"></select></label>
    <label>Pixels a side <select name="run-size"></select></label>
    <label>Iterations <input type="number" name="run-iterations" min="1" step="1"></label>
    <button type="button" name="start">Start</button>
    <button type="button" name="pause" disabled>Pause</button>
    <button type="button" name="stop" disabled>Stop</button>
    <span role="status"></span>`;
  el.prepend(row);
  const named = (name) => row.querySelector(`[name="${name}"]`);
  const [start, pause, end] = ["start", "pause", "stop"].map(named);
  const status = row.querySelector("[role=status]");
  options(named("run-picture"), offers.pictures.map((entry) => entry.title));
  options(named("run-recipe"), offers.recipes);
  options(named("run-size"), offers.sizes);
  named("run-size").value = offers.sizes.indexOf(offers.size);
  named("run-iterations").value = offers.iterations;
  let [running, entry] = [false, null];

  const ready = () => {
    [start.disabled, pause.disabled, end.disabled] = [running, !running, !running];
    pause.textContent = "Pause";
  };
  start.addEventListener("click", () => {
    start.disabled = true;
    status.textContent = "Starting …";
    model.send({
      do: "start",
      picture: offers.pictures[named("run-picture").value].name,
      recipe: offers.recipes[named("run-recipe").value],
      size: offers.sizes[named("run-size").value],
      iterations: Number(named("run-iterations").value),
    });
  });
  pause.addEventListener("click", () => {
    const pausing = pause.textContent === "Pause";
    pause.textContent = pausing ? "Go on" : "Pause";
    model.send({ do: pausing ? "pause" : "resume" });
  });
  end.addEventListener("click", () => model.send({ do: "stop" }));

  const heard = (news) => {
    status.textContent = news.text ?? "";
    if (news.kind === "started") {
      entry = { ...news.now, frames: [], growing: true }; // our own: another view of this widget hears the same message
      runs.push(entry);
      running = true;
      ready();
      show(entry);
    } else if (news.kind === "running" || news.kind === "grown") {
      if (!running) { running = true; ready(); } // this view came later than the run
      if (entry) grown(entry, news);
    } else if (news.kind === "ended" || news.kind === "failed") {
      running = false;
      ready();
      if (news.kind === "ended" && entry) grown(entry, { now: { ...news.now, growing: false } });
      else if (news.kind === "ended") refresh();
      entry = null;
    }
  };
  model.on("msg:custom", heard);
  return () => model.off("msg:custom", heard);
}
