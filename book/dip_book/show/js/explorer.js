// Runs side by side: which picture and recipe, what went in against what came out, iteration by iteration.
// With a kernel behind it (dip_book.explorer) it also starts, pauses and stops a run, and shows it grow.
function options(select, names) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i)));
}

export default {
  render({ model, el }) {
    const runs = [...model.get("runs")];
    const titles = () => [...new Set(runs.map((run) => run.title))];
    el.classList.add("dip-view");
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
      const told = `${when.toLocaleString("en")}${final ? (run.growing ? ", so far" : ", the end") : ""}: loss ${loss[i].toPrecision(2)}, ${(final && run.psnr ? run.psnr : psnr[i]).toFixed(2)} dB, learning rate ${lr[i]}`;
      readout.textContent = told;
      scrubber.setAttribute("aria-valuetext", `iteration ${told}`);
      for (const move of cursors) move(when);
    };
    const showAgainst = () => {
      const told = against.selectedOptions[0].textContent;
      const shown = run[against.value]; // a number: one that several runs share; none: a reader's own, not at hand
      const missing = shown === null;
      compare.classList.toggle("dip-alone", missing);
      against.disabled = missing;
      if (missing) return;
      before.src = typeof shown === "number" ? model.get("pictures")[shown] : shown;
      before.alt = `${run.title}, ${told}`;
      el.querySelector(".dip-left").textContent = against.value === "truth" ? "truth" : "given";
    };
    const showRun = () => {
      stop();
      run = of(titles()[picture.value])[recipe.value];
      showAgainst();
      showEnd();
    };
    // The run as far as it has come: at one of its frames, or at its last picture.
    const showEnd = (at = run.frames.length) => {
      const steps = run.frames.length;
      [scrubber.max, scrubber.value, scrubber.disabled, button.disabled] = [steps, at, !steps, !steps];
      el.querySelector(".dip-scrub").hidden = !steps; // a run that stored nothing on the way has nothing to scrub through
      el.querySelector(".dip-facts").textContent = run.facts;
      const plots = el.querySelector(".dip-plots");
      plots.replaceChildren();
      const { iteration: x, loss, psnr, lr, backtracked: marks } = run.history;
      cursors = [
        chart(plots, { title: "loss (logarithmic)", series: [{ x, y: loss }], log: true, marks }),
        chart(plots, { title: "PSNR, dB", series: [{ x, y: psnr }], marks }),
        chart(plots, { title: "learning rate", series: [{ x, y: lr }], marks }),
      ];
      scrub();
    };
    const showPicture = () => {
      const kept = recipe.selectedOptions[0]?.textContent;
      const names = of(titles()[picture.value]).map((entry) => entry.recipe);
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
    options(picture, titles());
    showPicture();

    const show = (entry) => {
      options(picture, titles());
      picture.value = titles().indexOf(entry.title);
      showPicture();
      recipe.value = of(entry.title).indexOf(entry);
      showRun();
    };
    const grown = (entry, news) => {
      const at = entry.frames[Number(scrubber.value)]?.iteration; // none: the reader is at the end, and stays there
      Object.assign(entry, news.now);
      if (news.frame) entry.frames.push(news.frame);
      if (entry.frames.length > 60) entry.frames = entry.frames.filter((_, i) => i % 2); // half of them tell the story too
      if (run === entry) showEnd(at === undefined ? undefined : nearest(entry.frames.map((frame) => frame.iteration), at));
    };
    const refresh = () => {
      const kept = picture.value;
      runs.push(...model.get("runs").slice(runs.length));
      options(picture, titles());
      picture.value = kept;
      const chosen = recipe.value;
      options(recipe, of(titles()[kept]).map((entry) => entry.recipe));
      recipe.value = chosen;
    };
    const away = model.get("offers") ? controls(model, el, { runs, show, grown, refresh }) : () => {};
    return () => { stop(); away(); }; // a timer must not outlive its figure
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
