// <dip-live>: a network learns one picture in front of the reader's eyes.
import { brush } from "./brush.js";
import { FILLINGS, HTML, lacking, noWorker } from "./markup.js";
import { fromBytes, fromFile, halved, knownPixels, paint, psnr, shuffling } from "./pictures.js";
import { plot } from "./plot.js";
import { SETTINGS, configOf, decode, encode, lanes } from "./settings.js";
import { startWorker } from "./start.js";

const BUDGET = 300; // iterations after which it rests
const AHEAD = 2; // by so many iterations a network may be ahead of the other
const FRAMES = 120; // pictures of each network that are kept for going back
const AVERAGING = 0.95; // decay of the moving average of the outputs
const PATIENCE = 5000; // milliseconds that Start waits for a choice between WebGPU and WebAssembly
const SHOW_EVERY = 150; // milliseconds
const KEPT = `dip-live ${location.pathname}`; // in the tab's own storage
const dB = (value) => (Number.isFinite(value) ? `${value.toFixed(1)} dB` : "exact");
const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

class DipLive extends HTMLElement {
  // pictures: {name: {title, bytes}}, 128×128 grey bytes in base64; a property, or JSON in a
  // <script type="application/json"> inside.
  connectedCallback() {
    if (this.ready) return this.wake();
    if (!this.pictures && document.readyState === "loading") {
      // in a saved page the script stands above the figure, whose data is still to come
      const whole = () => this.isConnected && this.connectedCallback();
      return document.addEventListener("DOMContentLoaded", whole, { once: true });
    }
    this.ready = true;
    const data = this.querySelector("script[type='application/json']");
    this.pictures ??= JSON.parse(data?.textContent ?? "{}");
    const why = lacking();
    if (why) {
      this.insertAdjacentHTML("beforeend", `<p class="dip-said" role="status">${why}</p>`);
      return;
    }
    this.innerHTML = HTML(Object.entries(this.pictures).map(([name, { title }]) => [name, title]));
    if (data) this.append(data); // for whoever saves the page
    this.classList.add("dip-ready");
    for (const part of this.querySelectorAll("[name]"))
      this[`$${part.name ?? part.getAttribute("name")}`] = part;
    this.$canvases = Object.fromEntries(
      [...this.querySelectorAll("figure")].map((figure) => [
        figure.className.slice(4),
        figure.querySelector("canvas"),
      ]),
    );
    this.$said = this.querySelector(".dip-said");
    this.draw = {
      loss: plot(this.querySelector(".dip-loss"), "Loss", true),
      psnr: plot(this.querySelector(".dip-psnr"), "PSNR, dB"),
    };
    this.backend = null;
    this.listen();
    const told = this.followLink(kept());
    this.propose(told).catch((error) => {
      this.backend ??= "wasm";
      this.say(noWorker(error));
    });
  }

  // What stood here before the page was loaded anew, the settings of the address, or those at the
  // start.
  followLink(before = {}) {
    const link = location.hash.startsWith("#live=") ? location.hash.slice(6) : "";
    const told = before.told || link;
    ({ settings: this.settings, painted: this.painted } = decode(told));
    if (!Object.hasOwn(this.pictures, this.settings.picture))
      this.settings.picture = Object.keys(this.pictures)[0];
    this.noFile();
    this.paintValue ??= null;
    this.show();
    const again = before.own ? ", but for your own picture: choose it again" : "";
    if (before.told || before.own) this.reset(`As before the page was loaded anew${again}.`);
    else this.reset(told ? "The settings of the link are set. Press Start." : "");
    this.degrade();
    if (link) this.followed(link);
    if (link && !before.told) this.scrollIntoView({ block: "start" });
    return told;
  }

  // Whose link the address is, noted in the history: who comes back to it keeps what was painted.
  followed(told) {
    this.told = told;
    try {
      history.replaceState({ ...history.state, dipLive: true }, "");
    } catch {
      /* a frame without an address */
    }
  }

  comeBack() {
    const told = location.hash.startsWith("#live=") ? location.hash.slice(6) : null;
    if (told !== null && !(history.state?.dipLive && told === this.told)) this.followLink();
  }

  // A reload must not cost what was painted.
  keep() {
    const now = { told: encode(this.settings, this.painted), own: Boolean(this.own) };
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(now));
    } catch {
      /* denied, or a frame without an address */
    }
  }

  // No picture of the reader's own, nor one that is still being read.
  noFile() {
    this.own = this.taking = null;
    this.$file.value = ""; // so that the same file can be chosen again
  }

  // A notebook takes outputs out of the page while they are scrolled away, and brings them back.
  disconnectedCallback() {
    this.sleep();
  }

  // With WebGPU, 128×128: if it is as fast as it should be, which only a try shows.  What a link
  // says is tried as it says.
  async propose(told) {
    let adapter = null;
    try {
      adapter = await navigator.gpu?.requestAdapter();
    } catch {
      /* none, then */
    }
    if (!adapter) {
      this.backend = "wasm";
      return;
    }
    const tried = told ? this.settings : { ...this.settings, size: 128, depth: 4 };
    const options = this.fitOptions(lanes(tried)[0]);
    const { seconds } = await this.ask({ kind: "time", options });
    if (this.backend) return; // the reader did not wait for it
    this.seconds = seconds;
    this.backend = seconds.webgpu < seconds.wasm ? "webgpu" : "wasm";
    if (this.backend === "webgpu" && !told && !this.touched) this.change({ size: 128, depth: 4 });
  }

  // One question to a worker of its own.
  ask(message, worker = startWorker()) {
    return new Promise((done, failed) => {
      worker.onmessage = ({ data }) =>
        data.kind === "failed" ? failed(new Error(data.message)) : done(data);
      worker.onerror = (event) => failed(new Error(event.message || "The worker could not start."));
      worker.postMessage(message);
    }).finally(() => worker.terminate());
  }

  // What is chosen --------------------------------------------------------------------------------

  listen() {
    const on = (part, event, f) => part.addEventListener(event, f);
    for (const name of Object.keys(SETTINGS)) {
      const part = this[`$${name}`];
      if (!part || part.type === "button") continue;
      on(part, part.type === "range" ? "input" : "change", () =>
        this.change({
          [name]: part.type === "checkbox" ? (part.checked ? "shuffled" : "ordered") : part.value,
        }),
      );
    }
    // a notebook's commands are letters, too: "d d" at a list would delete the cell
    on(this, "keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
    });
    on(this.$file, "change", () => this.take(this.$file.files[0]));
    on(this, "dragover", (event) => {
      event.preventDefault();
      this.classList.add("dip-drop");
    });
    on(this, "dragleave", () => this.classList.remove("dip-drop"));
    on(this, "drop", (event) => {
      event.preventDefault();
      this.classList.remove("dip-drop");
      const file = event.dataTransfer?.files[0];
      if (file) this.$file.value = ""; // it tells the name of another
      this.take(file);
    });
    // beside the figure a file would take the page's place, and what was painted with it
    const beside = (event) =>
      event.dataTransfer?.types.includes("Files") &&
      !event.defaultPrevented &&
      !event.target.closest?.("input");
    on(window, "dragover", (event) => beside(event) && event.preventDefault());
    on(window, "drop", (event) => {
      if (!beside(event)) return;
      event.preventDefault();
      this.say("That was beside the figure. Drop the picture on it.");
    });
    on(window, "pagehide", () => this.keep());
    on(this.$mask, "click", () => this.change({ mask: this.settings.mask + 1 }));
    on(this.$reseed, "click", () => {
      this.change({ seed: this.settings.seed + (this.settings.compare === "seed" ? 2 : 1) });
      this.go();
    });
    on(this.$over, "click", () => this.reset("Back at the start."));
    on(this.$go, "click", () => (this.going ? this.pause("Paused.") : this.go()));
    on(this.$at, "input", () => {
      const at = Number(this.$at.value);
      this.looking = at < Number(this.$at.max) ? at : null; // at the end it follows again
      this.showFrames();
    });
    on(this.$link, "click", () => this.copyLink());
    on(document, "visibilitychange", () => (document.hidden ? this.sleep() : this.wake()));
    on(window, "hashchange", () => this.comeBack());
    this.showBrush = brush(
      this.$canvases.given.parentElement,
      (x, y) => this.dab(x, y),
      () => this.choosePaint(null),
    );
    on(this.$hole, "click", () => this.choosePaint(1));
    on(this.$unhole, "click", () => this.choosePaint(0));
    on(this.$clear, "click", () => {
      this.painted.fill(0);
      this.reset("No painted holes.");
      this.degrade();
    });
  }

  change(values) {
    this.touched = true;
    const before = this.settings;
    const read = Object.entries(values).map(([name, value]) => [
      name,
      SETTINGS[name][1](String(value)),
    ]);
    const wrong = read.find(([, value]) => value === undefined);
    if (wrong) {
      this.show(); // as it was
      return this.say(`${values[wrong[0]] || "Nothing"} is not a value for this.`);
    }
    this.settings = { ...before, ...Object.fromEntries(read) };
    if (this.settings.size !== before.size)
      this.painted = resized(this.painted, before.size, this.settings.size);
    if (values.picture) this.noFile();
    const begun = Boolean(this.lanes);
    this.show();
    this.say(""); // what was said of a value before
    this.reset(begun ? "Changed. Press Start to begin anew." : "");
    this.degrade();
  }

  // A reader's picture: nothing of it leaves the page.
  async take(file) {
    if (!file) return;
    this.touched = true;
    const mine = (this.taking = {}); // what is chosen while it is read comes instead of it
    try {
      const both = { 64: await fromFile(file, 64), 128: null };
      try {
        both[128] = await fromFile(file, 128);
      } catch {
        /* too small for that */
      }
      if (mine !== this.taking) return;
      if (!both[128] && this.settings.size === 128) this.change({ size: 64 });
      // a name may hold characters that turn the text around it
      const name = file.name.replace(/[\p{Cc}\p{Cf}]/gu, "�");
      this.own = { title: name, both };
      this.reset(`“${name}” is read: its middle square, in grey. It stays on this machine.`);
      this.show();
      this.degrade();
    } catch (error) {
      if (mine === this.taking) this.say(error.message);
    }
  }

  // The controls say what the settings are.
  show() {
    const { settings } = this;
    for (const name of Object.keys(SETTINGS)) {
      const part = this[`$${name}`];
      if (!part || part.type === "button") continue;
      if (part.type === "checkbox") part.checked = settings[name] === "shuffled";
      else part.value = settings[name];
      part.disabled = settings.compare === name && name !== "compare"; // both are run
    }
    this.$adam.disabled = settings.compare !== "optimiser" && settings.optimiser !== "adam";
    this.$muon.disabled = settings.compare !== "optimiser" && settings.optimiser !== "muon";
    this.$size.querySelector("[value='128']").disabled = Boolean(this.own && !this.own.both[128]);
    if (this.own) this.$picture.selectedIndex = -1; // so that any of them can be chosen again
    this.$share.textContent = `${settings.p} %`;
    this.$p.setAttribute("aria-valuetext", `${settings.p} per cent`);
    this.querySelector(".dip-lane-1").hidden = settings.compare === "nothing";
  }

  truth() {
    const { picture, size } = this.settings;
    if (this.own) return this.own.both[size];
    const large = fromBytes(this.pictures[picture].bytes);
    return size === 128 ? large : halved(large, 128);
  }

  // The mask has changed, or the picture: what is given, and what fills it without a network.
  degrade() {
    const { size, p, mask } = this.settings;
    this.x = this.truth();
    this.m = knownPixels(size, p / 100, mask, this.painted);
    this.caption(
      "given",
      `given: ${Math.round((100 * this.m.reduce((a, b) => a + b)) / this.m.length)} % of the pixels`,
    );
    this.paintCanvas("given", this.x, this.m);
    this.paintCanvas("truth", this.x);
    this.caption("truth", this.own ? `the truth: ${this.own.title}` : "the truth");
    this.showFrames();
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.fill(), 150);
  }

  async fill() {
    const [x, m] = [this.x, this.m];
    this.filler?.terminate(); // what it works at is out of date
    if (!m.some(Boolean)) {
      this.levels = [];
      for (const name of FILLINGS) {
        this.paintCanvas(name, null);
        this.caption(name, `${name}: no pixel is known`);
      }
      return this.drawPlots();
    }
    try {
      this.filler = startWorker();
      const { fillings } = await this.ask(
        {
          kind: "fill",
          given: x.map((value, i) => value * m[i]),
          mask: m,
          size: this.settings.size,
        },
        this.filler,
      );
      if (x !== this.x || m !== this.m) return; // something else by now
      this.levels = FILLINGS.map((name) => ({ name, value: psnr(fillings[name], x) }));
      this.levels.forEach(({ name, value }) => {
        this.paintCanvas(name, fillings[name]);
        this.caption(name, `${name}: ${dB(value)}`);
      });
      this.drawPlots();
    } catch (error) {
      this.say(noWorker(error));
    }
  }

  // What the brush does: 1 makes holes, 0 brings pixels back, null is no brush; again is off.
  choosePaint(value) {
    this.paintValue = this.paintValue === value ? null : value;
    const on = this.paintValue !== null;
    this.$hole.setAttribute("aria-pressed", this.paintValue === 1);
    this.$unhole.setAttribute("aria-pressed", this.paintValue === 0);
    this.showBrush(on);
    if (on) this.say("Paint on the given picture: with mouse, finger, or arrow keys and space.");
  }

  dab(x, y) {
    this.touched = true;
    const { size } = this.settings;
    paint(this.painted, size, x * size - 0.5, y * size - 0.5, size / 14, this.paintValue);
    this.reset(this.lanes ? "Changed. Press Start to begin anew." : "");
    this.degrade();
  }

  // Learning --------------------------------------------------------------------------------------

  fitOptions(lane) {
    const { size } = lane;
    const same = this.x.length === size * size; // for a trial at another size any picture will do
    const mask = same ? this.m : new Float32Array(size * size).fill(1);
    const given = same ? this.x : mask.map((_, i) => (i % 7) / 7);
    const { shuffle } = lane.pixels === "shuffled" ? shuffling(size) : { shuffle: (v) => v };
    return {
      size,
      given: shuffle(given.map((value, i) => value * mask[i])),
      mask: shuffle(mask),
      config: configOf(lane),
      optimiser: lane.optimiser,
      rate: lane[lane.optimiser],
      sigma: lane.sigma ? 1 / lane.sigma : 0,
      seed: lane.seed,
    };
  }

  async go() {
    this.touched = true;
    if (!this.m.some(Boolean))
      return this.say("No pixel is known: there is nothing to fit. Bring some back.");
    if (this.failed) this.reset(); // a worker that has failed does not go on
    this.going = true;
    this.$go.textContent = "Pause";
    this.looking = null;
    if (!this.lanes) {
      this.say("The network is being built. The first iteration takes a few seconds.");
      this.lanes = lanes(this.settings).map((lane, index) => ({
        lane,
        index,
        name: lane.name,
        losses: [],
        quality: [],
        frames: [],
        every: 1,
        stamps: [],
        iteration: 0,
        put: lane.pixels === "shuffled" ? shuffling(lane.size).restore : (v) => v,
      }));
      this.target = BUDGET;
      this.lanes.forEach((one) => this.caption(`lane-${one.index}`, one.name));
    } else {
      this.say("Learning.");
      if (this.first() >= this.target) this.target += BUDGET;
    }
    const mine = this.lanes;
    for (let waited = 0; this.backend === null && waited < PATIENCE; waited += 50)
      await new Promise((done) => setTimeout(done, 50)); // it is being timed
    this.backend ??= "wasm";
    if (mine !== this.lanes || !this.going) return;
    for (const one of this.lanes) if (!one.worker) this.begin(one);
    this.ration();
  }

  begin(one) {
    one.worker = startWorker();
    one.worker.onerror = (event) => this.fail(event.message || "The worker could not start.");
    one.worker.onmessage = ({ data }) => {
      if (!this.lanes?.includes(one)) return;
      if (data.kind === "failed") this.fail(data.message);
      else if (data.kind === "iteration") this.see(one, data);
      else if (data.kind === "save") {
        one.state = data.state;
        one.worker.terminate();
        one.worker = one.allowed = null;
        if (!this.going) return;
        this.begin(one); // the reader did not wait until it was put away
        this.ration();
      }
    };
    one.worker.postMessage({
      kind: "start",
      backend: this.backend,
      options: { ...this.fitOptions(one.lane), state: one.state ?? null },
    });
  }

  first() {
    return Math.min(...this.lanes.map(({ iteration }) => iteration));
  }

  // Both walk in step: an iteration of one for an iteration of the other.
  ration() {
    if (!this.going) return;
    const until = Math.min(this.target, this.first() + AHEAD);
    for (const one of this.lanes)
      if (one.worker && one.allowed !== until)
        one.worker.postMessage({ kind: "until", iteration: (one.allowed = until) });
  }

  see(one, { iteration, loss, output }) {
    const seen = one.put(output);
    if (one.averaged)
      one.averaged.forEach((value, i) => {
        one.averaged[i] = AVERAGING * value + (1 - AVERAGING) * seen[i];
      });
    else one.averaged = seen.slice();
    one.iteration = iteration;
    one.losses.push(loss);
    one.quality.push(psnr(seen, this.x));
    one.stamps = [...one.stamps.slice(-9), performance.now()];
    if (iteration % one.every === 0 || iteration === 1)
      one.frames.push({
        iteration,
        pixels: Uint8Array.from(seen, (value) => Math.round(255 * value)),
      });
    if (one.frames.length > FRAMES) {
      one.every *= 2;
      one.frames = one.frames.filter(
        (frame) => frame.iteration % one.every === 0 || frame.iteration === 1,
      );
    }
    one.latest = seen;
    this.ration();
    this.later();
    if (this.first() >= this.target && this.going)
      this.pause(
        `At rest after ${this.target} iterations. ${this.summary()} Press “Go on” for ${BUDGET} more.`,
      );
  }

  pasted(one) {
    return psnr(
      one.averaged.map((value, i) => (this.m[i] ? this.x[i] : value)),
      this.x,
    );
  }

  summary() {
    return this.lanes
      .map(
        (one) =>
          `${one.name}: ${dB(one.quality.at(-1))}, averaged and pasted ${dB(this.pasted(one))}.`,
      )
      .join(" ");
  }

  // Shows what is new, a few times a second; seldom for who wants little motion.
  later() {
    if (this.drawing) return;
    this.drawing = setTimeout(
      () => {
        this.drawing = null;
        if (!this.lanes) return;
        const iteration = this.first();
        if (iteration && iteration >= (this.announced ?? 0) + 50 && this.going) {
          this.announced = iteration;
          this.say(`Iteration ${iteration}. ${this.summary()}`);
        } else if (iteration && !this.announced) {
          this.announced = 1;
          this.say("Learning.");
        }
        this.showFrames();
      },
      reduced() ? 2000 : SHOW_EVERY,
    );
  }

  showFrames() {
    if (!this.lanes) return;
    const last = this.first();
    this.$at.max = last;
    this.$at.disabled = !last;
    const at = this.looking ?? last;
    this.$at.value = at;
    this.$iteration.textContent = at;
    for (const one of this.lanes) {
      if (!one.iteration) continue;
      const now = this.looking === null || at >= one.iteration;
      const frame = now ? null : one.frames.findLast((kept) => kept.iteration <= Math.max(1, at));
      const iteration = now ? one.iteration : frame.iteration;
      this.paintCanvas(
        `lane-${one.index}`,
        now ? one.latest : Float32Array.from(frame.pixels, (value) => value / 255),
      );
      const also = now ? `, averaged and pasted ${dB(this.pasted(one))}` : "";
      this.caption(
        `lane-${one.index}`,
        `${one.name}, iteration ${iteration}: ${dB(one.quality[iteration - 1])}${also}`,
      );
    }
    const pace = this.lanes
      .filter(({ stamps }) => stamps.length > 2)
      .map(
        ({ name, stamps }) =>
          `${name} ${((1000 * (stamps.length - 1)) / (stamps.at(-1) - stamps[0])).toFixed(1)}`,
      );
    this.querySelector(".dip-pace").textContent = pace.length
      ? `Iterations a second: ${pace.join(", ")} (${this.backend === "webgpu" ? "WebGPU" : "WebAssembly"}).`
      : "";
    this.drawPlots();
  }

  drawPlots() {
    const [series, at] = [(this.lanes ?? []).filter(({ iteration }) => iteration), this.looking];
    const last = (values, digits) => values.at(-1).toPrecision(digits);
    this.draw.loss({
      series: series.map((one) => ({ values: one.losses, lane: one.index })),
      at,
      told: series.map((one) => `${one.name} ${last(one.losses, 2)}`).join(", "),
    });
    this.draw.psnr({
      series: series.map((one) => ({ values: one.quality, lane: one.index })),
      levels: this.levels?.filter(({ value }) => Number.isFinite(value)),
      at,
      told: series.map((one) => `${one.name} ${last(one.quality, 3)}`).join(", "),
    });
  }

  pause(words) {
    this.going = false;
    this.$go.textContent = this.lanes && this.first() >= this.target ? "Go on" : "Resume";
    for (const one of this.lanes ?? []) {
      one.allowed = null;
      one.worker?.postMessage({ kind: "until", iteration: 0 });
    }
    this.showFrames();
    this.say(words);
  }

  stop() {
    for (const one of this.lanes ?? []) one.worker?.terminate();
    this.lanes = null;
    this.going = this.failed = this.slept = false;
  }

  // To before the first iteration.
  reset(words = "") {
    this.stop();
    Object.assign(this, { looking: null, announced: 0 });
    this.$go.textContent = "Start";
    Object.assign(this.$at, { value: 0, max: 0, disabled: true });
    this.$iteration.textContent = "0";
    this.querySelector(".dip-pace").textContent = "";
    lanes(this.settings).forEach(({ name }, index) => {
      this.paintCanvas(`lane-${index}`, null);
      this.caption(`lane-${index}`, name);
    });
    if (words) this.say(words);
    this.drawPlots();
  }

  fail(message) {
    this.pause(
      `The network stopped: ${message} Start over, with fewer channels or levels perhaps.`,
    );
    this.failed = true;
    this.$go.textContent = "Start";
  }

  // Hidden: the state is kept as plain numbers, and the workers with their memory go.
  sleep() {
    this.slept ||= this.going;
    if (this.going) this.pause("Paused: the page is hidden.");
    for (const one of this.lanes ?? []) {
      one.allowed = null;
      if (one.iteration) one.worker?.postMessage({ kind: "save" });
      else {
        one.worker?.terminate();
        one.worker = null;
      }
    }
  }

  async wake() {
    if (!this.slept || !this.lanes || !this.isConnected || document.hidden) return;
    this.slept = false;
    const mine = this.lanes;
    const still = () => mine.some((one) => one.worker && one.iteration);
    while (mine === this.lanes && still())
      await new Promise((done) => setTimeout(done, 20)); // is being put away
    if (mine !== this.lanes || this.going) return;
    if (document.hidden || !this.isConnected) this.slept = true; // gone again meanwhile
    else this.go();
  }

  // Showing ---------------------------------------------------------------------------------------

  say(words) {
    this.$said.textContent = words;
  }

  caption(name, words) {
    const canvas = this.$canvases[name];
    canvas.setAttribute("aria-label", words);
    canvas.closest("figure").querySelector("figcaption").textContent = words;
  }

  // Missing pixels stand out from black and white ones.
  paintCanvas(name, values, mask = null) {
    const [canvas, size] = [this.$canvases[name], this.settings.size];
    canvas.width = canvas.height = size;
    canvas.parentElement.classList.toggle("dip-empty", !values);
    if (!values) return;
    const image = new ImageData(size, size);
    values.forEach((value, i) => {
      const missing = mask && !mask[i];
      const grey = Math.round(255 * value);
      image.data.set(
        missing
          ? this.painted[i]
            ? [194, 65, 12, 255]
            : [10, 125, 145, 255]
          : [grey, grey, grey, 255],
        4 * i,
      );
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  async copyLink() {
    const url = `${location.href.split("#")[0]}#live=${encode(this.settings, this.painted)}`;
    let there = "in the address bar";
    try {
      history.replaceState(null, "", url);
      this.followed(url.split("#live=")[1]);
    } catch {
      there = `this: ${url}`; // a frame that shows a notebook's output may have no address
    }
    this.$address.textContent = this.own ? "Your own picture is not part of it." : "";
    try {
      await navigator.clipboard.writeText(url);
      this.say("The link is copied.");
    } catch {
      this.say(`The link is ${there}${there.endsWith("bar") ? "." : ""}`);
    }
  }
}

// What `keep` kept, if the page is the same one once more.
function kept() {
  const [arrival] = performance.getEntriesByType("navigation");
  if (!["reload", "back_forward"].includes(arrival?.type)) return {};
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // denied, or not ours
  }
}

function resized(painted, from, to) {
  return Uint8Array.from(
    { length: to * to },
    (_, i) =>
      painted[
        Math.floor((Math.floor(i / to) * from) / to) * from + Math.floor(((i % to) * from) / to)
      ],
  );
}

if (!customElements.get("dip-live")) customElements.define("dip-live", DipLive);
