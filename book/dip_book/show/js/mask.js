// A picture, a Bernoulli mask, and what is left of the picture: a slider for p, a button for another mask.
export default {
  render({ model, el }) {
    const [side, measured] = [model.get("side"), model.get("measured")];
    const [p0, p1, step] = [0.05, 0.95, 0.05];
    el.innerHTML = `
      <div class="dip-row">
        <label>p, the probability that a pixel is known
          <input type="range" min="${p0}" max="${p1}" step="${step}" value="0.5"></label>
        <output class="dip-p"></output>
        <button type="button">Draw another mask</button>
      </div>
      <div class="dip-pictures">
        ${["x, the picture", "m, the mask (white: known)", "x̂ = m ⊙ x, what we are given"]
          .map((told) => `<figure><canvas width="${side}" height="${side}" role="img"></canvas><figcaption>${told}</figcaption></figure>`)
          .join("")}
      </div>
      <p class="dip-muted" role="status"></p>
      <div class="dip-plots dip-wide"></div>`;
    const [slider, shown, button, status] = ["input", "output", "button", "[role=status]"].map((s) => el.querySelector(s));
    const canvases = [...el.querySelectorAll("canvas")].map((canvas) => canvas.getContext("2d"));
    canvases.forEach((context, i) =>
      context.canvas.setAttribute("aria-label", el.querySelectorAll("figcaption")[i].textContent));
    const series = measured.map(({ name, p, psnr }) => ({ name, x: p, y: psnr }));
    const plots = el.querySelector(".dip-plots");
    const cursor = series.length
      ? chart(plots, { title: "PSNR of a restoration, dB, over p", series, points: true, xs: [0, 0.25, 0.5, 0.75, 1] })
      : () => plots.remove();
    // What was measured at the known p next to the slider's.
    const said = (p) => series.map(({ name, x, y }) => `${name} ${y[nearest(x, p)].toFixed(1)} dB at p = ${x[nearest(x, p)]}`).join(", ");
    let draws;
    const drawMask = () => { draws = Float32Array.from({ length: side * side }, Math.random); };

    const picture = new Image();
    picture.onload = () => {
      canvases[0].drawImage(picture, 0, 0, side, side);
      const truth = canvases[0].getImageData(0, 0, side, side);
      const show = () => {
        const p = Number(slider.value);
        const mask = canvases[1].createImageData(side, side);
        const known = canvases[2].createImageData(side, side);
        let count = 0;
        for (let i = 0; i < side * side; i++) {
          // One uniform draw a pixel: raising p keeps every pixel that was known before.
          const m = draws[i] < p ? 1 : 0;
          count += m;
          for (let c = 0; c < 3; c++) {
            mask.data[4 * i + c] = 255 * m;
            known.data[4 * i + c] = truth.data[4 * i + c] * m;
          }
          mask.data[4 * i + 3] = known.data[4 * i + 3] = 255;
        }
        canvases[1].putImageData(mask, 0, 0);
        canvases[2].putImageData(known, 0, 0);
        shown.textContent = `p = ${p.toFixed(2)}`;
        const told = `${count} of ${side * side} pixels are known (${((100 * count) / (side * side)).toFixed(1)} %).`;
        status.textContent = series.length ? `${told} Measured nearby: ${said(p)}.` : told;
        cursor(p);
      };
      slider.addEventListener("input", show);
      button.addEventListener("click", () => { drawMask(); show(); });
      drawMask();
      show();
    };
    picture.src = model.get("picture");
  },
};
