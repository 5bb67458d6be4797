// What a Bernoulli mask leaves of a picture, and what each method makes of it, over p.  The truth comes when asked for.
export default {
  render({ model, el }) {
    ownKeys(el);
    const [states, series, methods, truth, start] = ["states", "measured", "methods", "truth", "start"].map((name) => model.get(name));
    const captions = ["given: x̂ = m ⊙ x", ...methods];
    el.innerHTML = `
      <div class="dip-row">
        <label>p, the probability that a pixel is known
          <input type="range" min="0" max="${states.length - 1}" step="1"></label>
        <output class="dip-p" aria-live="off"></output>
      </div>
      <div class="dip-pictures dip-four">
        ${captions.map(() => '<figure><img alt=""><div class="dip-hidden" hidden>not run at this p</div><figcaption></figcaption></figure>').join("")}
        <figure class="dip-truth"><div class="dip-hidden"><button type="button">Reveal the truth</button></div><figcaption>x, the truth</figcaption></figure>
      </div>
      <p class="dip-muted" role="status"></p>
      <div class="dip-plots dip-wide"></div>`;
    const [slider, shown, button, status, hidden] = ["input", "output", "button", "[role=status]", ".dip-truth .dip-hidden"].map((s) => el.querySelector(s));
    const pictures = [...el.querySelectorAll("img")];
    const told = [...el.querySelectorAll("figcaption")];
    const plots = el.querySelector(".dip-plots");
    // Over p all methods rise together by tens of decibels; what tells them apart is the lead over the simplest.
    const base = series.find(({ name }) => name === "linear");
    const leads = series.map((one) => {
      const kept = one.x.map((p, i) => [p, one.y[i] - base?.y[base.x.indexOf(p)]]).filter(([, lead]) => Number.isFinite(lead));
      return { ...one, x: kept.map(([p]) => p), y: kept.map(([, lead]) => lead) };
    });
    const cursor = base
      ? chart(plots, { title: "dB above linear interpolation, over p", series: leads, points: true, xs: [0, 0.2, 0.4, 0.6, 0.8, 1] })
      : () => plots.remove();
    const show = () => {
      const { p, known, of, pictures: urls, psnr } = states[slider.value];
      pictures.forEach((img, i) => {
        if (urls[i]) img.src = urls[i];
        img.hidden = !urls[i];
        img.nextElementSibling.hidden = Boolean(urls[i]);
        img.alt = `${captions[i]}, p = ${p}`;
        told[i].textContent = psnr[i] === null ? captions[i] : `${captions[i]}: ${psnr[i].toFixed(2)} dB`;
      });
      shown.textContent = `p = ${p}`;
      slider.setAttribute("aria-valuetext", `p = ${p}`);
      const others = series.filter(({ name }) => !methods.includes(name)).map(({ name, x, y }) =>
        x.includes(p) ? ` ${name}: ${y[x.indexOf(p)].toFixed(2)} dB.` : ` ${name.split(",")[0]}: not run at this p.`);
      status.textContent = `${known.toLocaleString("en")} of ${of.toLocaleString("en")} pixels are known.${others.join("")}`;
      cursor(p);
    };
    slider.value = start;
    slider.addEventListener("input", show);
    const reveal = document.createElement("img");
    reveal.src = truth;
    reveal.alt = "x, the truth";
    button.addEventListener("click", () => {
      const out = hidden.contains(button);
      if (out) { hidden.replaceWith(reveal); button.textContent = "Hide it again"; told.at(-1).append(" ", button); }
      else { reveal.replaceWith(hidden); button.textContent = "Reveal the truth"; hidden.append(button); }
      button.focus();
    });
    show();
  },
};
