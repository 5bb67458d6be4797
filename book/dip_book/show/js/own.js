// A picture of the reader's own: chosen or handed over, marked with a brush, restored while one watches, handed back.
// It needs a kernel (dip_book.show.own).  What is shown are the model's traits; what a button asks for goes as a message.
const number = (n) => n.toLocaleString("en");
const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`);
// a name may hold characters that turn the text around it
const nameOf = (file) => file.name.replace(/[\p{Cc}\p{Cf}]/gu, "�");
const span = (s) => (s < 99 ? `${Math.round(s)} s` : `${Math.round(s / 60)} min`);
const WAYS = { painted: "what I paint", clear: "what is transparent or black", colour: "what has a colour", random: "pixels at random", file: "a mask file" };
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SILENT_S = 15; // after so long without an answer the reader is told

export default {
  render({ model, el }) {
    ownKeys(el);
    const offers = model.get("offers");
    el.classList.add("dip-view", "dip-own", "tex2jax_ignore", "mathjax_ignore");
    el.innerHTML = `
      <fieldset class="dip-row dip-run"><legend>1. A picture</legend>
        <label>Of the book <select name="picture"><option value="">choose …</option></select></label>
        <label>or yours <input type="file" name="file" accept="image/*,.heic,.heif,.tif,.tiff,.webp"></label>
        <span class="dip-muted dip-limits"></span>
        <span class="dip-muted dip-about"></span>
      </fieldset>
      <fieldset class="dip-row dip-run" disabled><legend>2. What is missing</legend>
        <label>Begin with <select name="how">${Object.entries(WAYS).map(([key, told]) => `<option value="${key}">${told}</option>`).join("")}</select></label>
        <label data-for="random">Share <input type="range" name="share" min="5" max="95" step="5" value="50"> <output>50 %</output></label>
        <label data-for="file">Mask <input type="file" name="mask" accept="image/*,.tif,.tiff"></label>
        <label data-for="file"><input type="checkbox" name="invert"> white is missing</label>
        <label data-for="colour">Colour <input type="color" name="colour" value="#ffffff"></label>
        <label data-for="colour">Tolerance <input type="number" name="tolerance" min="0" max="255" step="1" value="24"></label>
        <label data-for="clear colour file">Grow by <input type="number" name="grow" min="0" max="50" step="1" value="0"> pixels</label>
        <span class="dip-row dip-tools" role="group" aria-label="Brush">
          <button type="button" name="erase" aria-pressed="false">Erase</button>
          <label>Brush <input type="range" name="width" min="1" max="100" step="1"> <output></output></label>
          <button type="button" name="undo">Undo</button>
          <button type="button" name="clear">Clear</button>
        </span>
        <span class="dip-muted dip-marked"></span>
        <span class="dip-muted dip-notes"></span>
      </fieldset>
      <div class="dip-stage" tabindex="0" role="application" aria-label="The picture, to paint on" hidden>
        <img alt="" draggable="false"><canvas></canvas><div class="dip-brush" hidden></div>
      </div>
      <div class="dip-tolds" hidden><span class="dip-told">before</span><span class="dip-told">after</span></div>
      <div class="dip-compare" style="--at: 50%" hidden>
        <img class="dip-after" alt="The restored picture, so far"><img class="dip-before" alt="The picture as it was given"><div class="dip-handle"></div>
        <input type="range" name="divider" min="0" max="100" value="50" aria-label="Divider between before and after">
      </div>
      <p class="dip-muted dip-hint" hidden>Paint what is missing. With keys: arrows move the brush (with Shift further), Space puts it down and
        lifts it, E erases, [ and ] change its size, Ctrl+Z takes back. With a finger: one paints, two move the page.</p>
      <fieldset class="dip-row dip-run" disabled><legend>3. Restore</legend>
        <label>Minutes <input type="number" name="minutes" min="0.05" max="${offers.most_minutes}" step="any"></label>
        <button type="button" name="start">Start</button>
        <button type="button" name="stop" disabled>Stop</button>
        <button type="button" name="view" hidden>Mark more</button>
        <span class="dip-bar"><progress max="1" value="0" aria-label="How far the restoration is"></progress><span class="dip-muted dip-left"></span></span>
        <span class="dip-said"></span>
      </fieldset>
      <fieldset class="dip-row dip-run" disabled><legend>4. Take it home</legend>
        <label>As <select name="format">${offers.formats.map((name) => `<option>${name}</option>`).join("")}</select></label>
        <button type="button" name="download">Download</button>
        <a hidden></a>
        <span class="dip-muted dip-lost"></span>
      </fieldset>
      <div class="dip-row dip-earlier" hidden>Results that you have not downloaded: </div>
      <span class="dip-quiet" role="status" aria-live="polite"></span>`;
    const named = (name) => el.querySelector(`[name="${name}"]`);
    const [one, two, three, four] = el.querySelectorAll("fieldset");
    const [stage, canvas, brush, hint, compare, tolds, earlier] = ["stage", "stage canvas", "brush", "hint", "compare", "tolds", "earlier"].map((name) => el.querySelector(`.dip-${name}`));
    const [limits, about, told, notes, said, left, lost, live] = ["limits", "about", "marked", "notes", "said", "left", "lost", "quiet"].map((name) => el.querySelector(`.dip-${name}`));
    const [picture, file, how, share, mask, invert, grow, colour, tolerance, erase, width, start, stop, view, minutes, format, divider] =
      ["picture", "file", "how", "share", "mask", "invert", "grow", "colour", "tolerance", "erase", "width", "start", "stop", "view", "minutes", "format", "divider"].map(named);
    const [image, bar, link] = [stage.querySelector("img"), el.querySelector("progress"), el.querySelector("a")];
    picture.append(...offers.pictures.map(({ name, title }) => new Option(title, name)));
    minutes.value = offers.minutes;
    limits.textContent = `PNG, JPEG, TIFF, WebP; up to ${number(offers.most_pixels / 1e6)} megapixels and ${number(offers.most_bytes / 1e6)} MB. It goes to the kernel and nowhere else.`;

    // Asking ------------------------------------------------------------------------------------------------------------
    let waiting = null;
    const heard = () => { clearTimeout(waiting); waiting = null; };
    const say = (text) => { said.textContent = text; announce(text); };
    let phase = "";
    // Read aloud is what is new, not every number on the way.
    const announce = (text) => {
      const plain = text.replace(/[\d.,%]+/g, "");
      if (plain !== phase || !model.get("now").running) live.textContent = text;
      phase = plain;
    };
    const ask = (content) => {
      heard();
      waiting = setTimeout(() => say("The kernel does not answer: it is busy, or gone. If it is gone, run the cell again."), SILENT_S * 1000);
      model.send(content);
    };

    // Files: in pieces, the next one when the last was taken ------------------------------------------------------------
    let sending = null;
    const piece = (at) => {
      const mine = sending;
      const { of, data, id } = mine;
      const reader = new FileReader();
      reader.onerror = () => mine === sending && say(`${nameOf(data)} cannot be read: ${reader.error.message}`);
      reader.onload = () => {
        if (mine !== sending) return; // another choice came meanwhile
        if (at + offers.piece >= data.size) sending = null;
        if (data.size > offers.piece) said.textContent = `Handing over ${nameOf(data)}: ${Math.round((100 * at) / data.size)} %`;
        const more = of === "mask" ? { invert: invert.checked, grow: Number(grow.value) } : {};
        ask({ do: "piece", of, id, name: data.name, at, size: data.size, data: reader.result.split(",")[1] ?? "", ...more });
      };
      reader.readAsDataURL(data.slice(at, at + offers.piece));
    };
    const hand = (of, data) => {
      if (!data) return;
      if (data.size > offers.most_bytes) { say(`${nameOf(data)} has ${size(data.size)}, more than ${number(offers.most_bytes / 1e6)} MB: shrink the picture.`); return; }
      if (of === "mask" && sending?.of === "picture") { mask.value = ""; say("The picture is still being handed over: choose the mask after it."); return; }
      sending = { of, data, id: `${Date.now()} ${Math.random()}` }; // another view of this widget sends its own
      piece(0);
    };
    file.addEventListener("change", () => { hand("picture", file.files[0]); picture.value = ""; });
    mask.addEventListener("change", () => hand("mask", mask.files[0]));
    picture.addEventListener("change", () => { if (picture.value) { file.value = ""; sending = null; ask({ do: "choose", name: picture.value }); } });
    el.addEventListener("dragover", (event) => event.preventDefault());
    el.addEventListener("drop", (event) => {
      event.preventDefault();
      const dropped = event.dataTransfer?.files;
      if (!dropped?.[0]) return;
      if (mask.closest("label").contains(event.target)) { mask.files = dropped; hand("mask", dropped[0]); return; } // as a picture it would take away what was painted
      file.value = picture.value = "";
      hand("picture", dropped[0]);
    });

    // What is missing ---------------------------------------------------------------------------------------------------
    const fit = () => {
      for (const label of two.querySelectorAll("[data-for]")) label.hidden = !label.dataset.for.split(" ").includes(how.value);
    };
    const markAs = () => {
      fit();
      share.nextElementSibling.textContent = `${share.value} %`;
      if (how.value === "file") { if (mask.files[0]) hand("mask", mask.files[0]); }
      else ask({ do: "mark", how: how.value, share: Number(share.value) / 100, grow: Number(grow.value), colour: colour.value, tolerance: Number(tolerance.value) });
    };
    for (const input of [how, share, grow, invert, colour, tolerance]) input.addEventListener("change", markAs);
    share.addEventListener("input", () => { share.nextElementSibling.textContent = `${share.value} %`; });

    // Painting: strokes in the picture's own pixels ---------------------------------------------------------------------
    const shape = () => { const { width: w, height: h } = model.get("picture"); return [w ?? 1, h ?? 1]; };
    const thick = () => (Number(width.value) / 400) * Math.max(...shape());
    const ground = new Image();
    let [stroke, at, erasing, cleared] = [null, null, false, null]; // cleared: all that "Clear" took away, until it is undone
    const draw = () => {
      const context = canvas.getContext("2d");
      context.globalCompositeOperation = "source-over";
      context.clearRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingEnabled = false;
      if (ground.complete && ground.naturalWidth) context.drawImage(ground, 0, 0, canvas.width, canvas.height);
      const scale = canvas.width / shape()[0];
      for (const { points, width: wide, erase: away } of [...model.get("strokes"), ...(stroke ? [stroke] : [])]) {
        context.globalCompositeOperation = away ? "destination-out" : "source-over";
        context.strokeStyle = context.fillStyle = "rgb(255 0 200)";
        [context.lineWidth, context.lineCap, context.lineJoin] = [Math.max(1, wide * scale), "round", "round"];
        context.beginPath();
        points.forEach(([x, y], i) => (i ? context.lineTo(x * scale, y * scale) : context.moveTo(x * scale, y * scale)));
        if (points.length === 1) context.lineTo(points[0][0] * scale + 0.01, points[0][1] * scale);
        context.stroke();
      }
    };
    const showBrush = (shown = true) => {
      brush.hidden = !shown || !at;
      if (!at) return;
      const [w, h] = shape();
      const wide = (thick() / w) * stage.clientWidth;
      Object.assign(brush.style, { left: `${(100 * at[0]) / w}%`, top: `${(100 * at[1]) / h}%`, width: `${wide}px`, height: `${wide}px` });
      brush.classList.toggle("dip-down", Boolean(stroke));
      width.nextElementSibling.textContent = `${Math.max(1, Math.round(thick()))} pixels`;
    };
    const put = (strokes) => { model.set("strokes", strokes); model.save_changes(); draw(); };
    const begin = () => { end(); stroke = { points: [[...at]], width: +Math.max(1, thick()).toFixed(2), erase: erasing }; draw(); };
    const end = () => {
      if (!stroke) return;
      const done = stroke;
      stroke = null;
      put([...model.get("strokes"), done]);
      showBrush();
    };
    // A mouse tells of a thousand points a second; all strokes go in one message, and one of a megabyte ends a session.
    const follow = (to) => {
      const [before, last] = stroke.points.slice(-2);
      if (last && Math.hypot(last[0] - before[0], last[1] - before[1]) < Math.max(0.5, stroke.width / 10)) stroke.points.pop();
      stroke.points.push(to);
    };
    const undo = () => {
      if (stroke) { stroke = null; draw(); return; }
      if (model.get("strokes").length || !cleared) { put(model.get("strokes").slice(0, -1)); return; }
      const before = cleared;
      cleared = null;
      if (how.value !== before.how) { how.value = before.how; markAs(); }
      put(before.strokes);
    };
    const clear = () => {
      end();
      if (model.get("strokes").length) cleared = { strokes: model.get("strokes"), how: how.value };
      put([]);
      if (how.value !== "painted") { how.value = "painted"; markAs(); }
    };
    const place = (event) => {
      const box = stage.getBoundingClientRect();
      const [w, h] = shape();
      const clip = (v, top) => Math.min(Math.max(v, 0), top);
      return [+clip(((event.clientX - box.left) / box.width) * w, w).toFixed(1), +clip(((event.clientY - box.top) / box.height) * h, h).toFixed(1)];
    };
    const busy = () => model.get("now").running;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button || busy() || !event.isPrimary) return;
      stage.setPointerCapture(event.pointerId);
      at = place(event);
      begin();
      showBrush();
    });
    stage.addEventListener("pointermove", (event) => {
      if (!event.isPrimary) return;
      at = place(event);
      if (stroke && stage.hasPointerCapture(event.pointerId)) {
        for (const one of event.getCoalescedEvents?.() ?? [event]) follow(place(one));
        follow(at);
        draw();
      }
      showBrush();
    });
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, end);
    stage.addEventListener("pointerleave", () => { if (!stroke) showBrush(stage.matches(":focus-visible")); });
    stage.addEventListener("focus", () => {
      at ??= shape().map((side) => side / 2);
      showBrush(stage.matches(":focus-visible"));
    });
    stage.addEventListener("blur", () => { end(); showBrush(false); });
    const setErasing = (on) => { erasing = on; erase.setAttribute("aria-pressed", on); };
    erase.addEventListener("click", () => setErasing(!erasing));
    named("undo").addEventListener("click", undo);
    named("clear").addEventListener("click", clear);
    width.addEventListener("input", () => { at ??= shape().map((side) => side / 2); showBrush(false); });
    stage.addEventListener("keydown", (event) => {
      if (busy()) return;
      const keys = { e: () => setErasing(!erasing), "[": () => { width.value -= 2; }, "]": () => { width.value = +width.value + 2; }, Escape: end };
      at ??= shape().map((side) => side / 2);
      if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
      else if (event.ctrlKey || event.metaKey || event.altKey) return;
      else if (KEYS[event.key]) {
        const far = Math.max(1, thick() / 2) * (event.shiftKey ? 5 : 1);
        at = at.map((v, axis) => +Math.min(Math.max(v + far * KEYS[event.key][axis], 0), shape()[axis]).toFixed(1));
        if (stroke) { stroke.points.push([...at]); draw(); }
      } else if (event.key === " " || event.key === "Enter") {
        if (stroke) end(); else begin();
        live.textContent = `Brush ${stroke ? "down" : "up"} at ${at.map(Math.round).join(", ")}.`;
      } else if (keys[event.key]) keys[event.key]();
      else return;
      event.preventDefault();
      showBrush();
    });

    // Restoring ---------------------------------------------------------------------------------------------------------
    const look = (painting) => {
      const there = Boolean(model.get("after"));
      const chosen = Boolean(model.get("picture").url);
      const paints = chosen && (painting || !there);
      [stage.hidden, hint.hidden] = [!paints, !paints];
      [compare.hidden, tolds.hidden] = [paints || !there, paints || !there];
      [view.hidden, view.textContent] = [!there, paints ? "Compare" : "Mark more"];
      if (paints) draw();
    };
    view.addEventListener("click", () => look(stage.hidden));
    start.addEventListener("click", () => {
      end();
      look(false);
      ask({ do: "start", minutes: Number(minutes.value) });
    });
    stop.addEventListener("click", () => ask({ do: "stop" }));
    divider.addEventListener("input", () => {
      compare.style.setProperty("--at", `${divider.value}%`);
      divider.setAttribute("aria-valuetext", `${divider.value} per cent before`);
    });
    let since = 0;
    const tick = () => {
      const { running, done, left_s: seconds } = model.get("now");
      const passed = (performance.now() - since) / 1000;
      const known = running && Number.isFinite(seconds) && seconds !== null;
      bar.value = known && seconds > 0 ? done + (1 - done) * Math.min(0.97, passed / Math.max(seconds, 1)) : done;
      left.textContent = known ? `about ${span(Math.max(1, seconds - passed))} left` : "";
    };
    const clock = setInterval(tick, 1000);

    // Taking home -------------------------------------------------------------------------------------------------------
    let [parts, wanted] = [[], false]; // what another view of this widget asked for comes here too
    named("download").addEventListener("click", () => { wanted = true; lost.textContent = "Writing …"; ask({ do: "download", format: format.value }); });
    const onEarlier = () => {
      const there = model.get("earlier");
      earlier.hidden = !there.length;
      earlier.querySelectorAll("button").forEach((button) => button.remove());
      for (const name of there) {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
        button.addEventListener("click", () => { wanted = true; ask({ do: "download", name }); });
        earlier.append(button);
      }
    };
    const received = ({ name, type, number: n, of, size: bytes, notes: losses, data }) => {
      if (!wanted) return;
      if (n === 0) parts = [];
      parts.push(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)));
      if (n + 1 < of) return;
      if (link.href) URL.revokeObjectURL(link.href);
      link.href = URL.createObjectURL(new Blob(parts, { type }));
      [link.download, link.textContent, link.hidden, lost.textContent] = [name, `${name} (${size(bytes)})`, false, losses.join(" ")];
      [parts, wanted] = [[], false];
      link.click(); // where a page may not start it, the link is there to be pressed
    };

    // What the kernel says ----------------------------------------------------------------------------------------------
    const onPicture = () => {
      const { url, width: w, height: h, text, format: own } = model.get("picture");
      if (!url) return;
      heard();
      [image.src, image.alt, about.textContent, format.value] = [url, text, text, own];
      for (const box of [stage, compare]) box.style.setProperty("--ratio", w / h);
      [canvas.width, canvas.height] = ((s) => [w * s, h * s].map(Math.round))(Math.min(1, 1400 / Math.max(w, h)) * (Math.max(w, h) < 500 ? 2 : 1));
      [width.value, at, cleared, link.hidden, lost.textContent] = [12, null, null, true, ""];
      at = [w / 2, h / 2];
      showBrush(false);
      look(true);
    };
    const onMarked = () => {
      const { how: kind, url, text, notes: words } = model.get("marked");
      if (!kind) return;
      heard();
      if (how.value !== kind) how.value = kind;
      fit();
      [told.textContent, notes.textContent, start.textContent] = [text, words.join(" "), "Start"]; // other marks begin anew
      if (ground.src !== url) { ground.onload = draw; ground.src = url; }
      draw();
    };
    const onNow = () => {
      const { running, said: words } = model.get("now");
      heard();
      since = performance.now();
      say(words);
      lost.textContent = lost.textContent === "Writing …" ? "" : lost.textContent;
      const chosen = Boolean(model.get("picture").url);
      one.disabled = running;
      two.disabled = running || !chosen;
      three.disabled = !chosen;
      const focused = document.activeElement; // of a button that is switched off the focus would be lost
      [start.disabled, stop.disabled, minutes.disabled] = [running, !running, running];
      if (focused === start && running) stop.focus();
      if (focused === stop && !running) start.focus();
      start.textContent = model.get("after") && !running ? "Go on" : "Start";
      tick();
    };
    const onShown = () => {
      const [before, after] = ["before", "after"].map((name) => model.get(name));
      four.disabled = !after;
      if (before) el.querySelector(".dip-before").src = before;
      if (after) el.querySelector(".dip-after").src = after;
      look(false);
    };
    const onStrokes = () => { if (!stroke) draw(); };
    const onMessage = (news) => {
      heard();
      if (news.kind === "got") { if (sending && sending.id === news.id) piece(news.at); }
      else if (news.kind === "file") received(news);
    };
    const listens = { "change:picture": onPicture, "change:marked": onMarked, "change:now": onNow, "change:before": onShown, "change:after": onShown, "change:earlier": onEarlier, "change:strokes": onStrokes, "msg:custom": onMessage };
    for (const [name, listener] of Object.entries(listens)) model.on(name, listener);
    fit();
    onPicture();
    onMarked();
    onShown();
    onEarlier();
    onNow();
    return () => {
      for (const [name, listener] of Object.entries(listens)) model.off(name, listener);
      clearInterval(clock);
      heard();
      if (link.href) URL.revokeObjectURL(link.href);
    };
  },
};
