// What the figure is made of, and what is said where it cannot be made.
export const FILLINGS = ["mean", "harmonic", "biharmonic"];

// In one sentence, why this browser cannot; or null.
export function lacking() {
  if (typeof WebAssembly === "undefined")
    return "This browser has no WebAssembly, in which the network would compute; another one, or another setting, would do.";
  if (typeof Worker === "undefined")
    return "This browser has no workers, without which the page would freeze while the network learns.";
  if (typeof OffscreenCanvas === "undefined")
    return "This browser has no OffscreenCanvas, with which pictures are read; a newer version has it.";
  return null;
}

export const noWorker = ({ message }) =>
  `No worker can be started here (${message}). Some browsers allow none for a page that is opened from a disk; over http they do.`;

const signs = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const plain = (text) => String(text).replace(/[&<>"]/g, (sign) => signs[sign]);
const options = (entries) =>
  entries
    .map(([value, text]) => `<option value="${plain(value)}">${plain(text)}</option>`)
    .join("");
const select = (name, label, entries) =>
  `<label>${label} <select name="${name}">${options(entries)}</select></label>`;
const picture = (name, caption) =>
  `<figure class="dip-${name}"><div class="dip-frame"><canvas role="img" aria-label="${caption}"></canvas></div><figcaption>${caption}</figcaption></figure>`;

export const HTML = (names) => `
  <div class="dip-row">
    ${select("picture", "Picture", names)}
    <label class="dip-file">or one of yours <input type="file" name="file" accept="image/*"></label>
    ${select("size", "Size", [
      [64, "64×64"],
      [128, "128×128"],
    ])}
    ${select("compare", "Compare", [
      ["optimiser", "Adam and Muon"],
      ["pixels", "a picture and its pixels shuffled"],
      ["reading", "the blog's reading and the second"],
      ["upsampling", "nearest and bilinear"],
      ["seed", "two networks"],
      ["nothing", "nothing: one network"],
    ])}
  </div>
  <div class="dip-row">
    <label>Known pixels <input type="range" name="p" min="5" max="100" step="1"></label> <output name="share"></output>
    <button type="button" name="mask">Another mask</button>
    <button type="button" name="hole" aria-pressed="false">Paint holes</button>
    <button type="button" name="unhole" aria-pressed="false">Bring back</button>
    <button type="button" name="clear">Clear the paint</button>
  </div>
  <div class="dip-stage">
    ${picture("given", "given")}${picture("lane-0", "")}${picture("lane-1", "")}${picture("truth", "the truth")}
  </div>
  <div class="dip-row dip-run">
    <button type="button" name="go" class="dip-go">Start</button>
    <button type="button" name="over">Start over</button>
    <button type="button" name="reseed">Another network</button>
    <label class="dip-wide">Iteration <input type="range" name="at" min="0" max="0" value="0" disabled></label> <output name="iteration">0</output>
  </div>
  <p class="dip-pace" aria-hidden="true"></p>
  <p class="dip-said" role="status"></p>
  <div class="dip-plots"><div class="dip-loss"></div><div class="dip-psnr"></div></div>
  <p class="dip-head">Without a network</p>
  <div class="dip-stage dip-fillings">${FILLINGS.map((name) => picture(name, name)).join("")}</div>
  <details>
    <summary>The network and the loop</summary>
    <div class="dip-row">
      ${select("optimiser", "Optimiser", [
        ["adam", "Adam"],
        ["muon", "Muon"],
      ])}
      <label>Adam's rate <input type="number" name="adam" step="any" min="0.000001" max="1"></label>
      <label>Muon's rate <input type="number" name="muon" step="any" min="0.000001" max="1"></label>
      ${select("sigma", "σₚ", [
        [0, "0"],
        [90, "1/90"],
        [30, "1/30"],
        [10, "1/10"],
      ])}
      ${select("depth", "Levels", [
        [2, 2],
        [3, 3],
        [4, 4],
      ])}
      ${select("width", "Channels", [
        [8, 8],
        [16, 16],
        [32, 32],
      ])}
      ${select("reading", "Reading", [
        ["second", "the second"],
        ["blog", "the blog's"],
      ])}
      ${select("upsampling", "Upsampling", [
        ["nearest", "nearest"],
        ["bilinear", "bilinear"],
      ])}
      <label><input type="checkbox" name="pixels"> Shuffle the pixels</label>
    </div>
  </details>
  <div class="dip-row"><button type="button" name="link">Copy a link to this</button> <output name="address" class="dip-muted"></output></div>`;
