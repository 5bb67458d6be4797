// One thing in several states: pictures that change with a slider or a choice.
let count = 0;
export default {
  render({ model, el }) {
    ownKeys(el);
    const [states, captions, label, ordered, start] = ["states", "captions", "label", "slider", "start"].map((name) => model.get(name));
    el.classList.add("dip-view", "tex2jax_ignore", "mathjax_ignore");
    const group = `dip-steps-${++count}-${Math.random().toString(36).slice(2, 8)}`;
    const choices = ordered
      ? `<label><span></span> <input type="range" min="0" max="${states.length - 1}" step="1"></label><output aria-live="off"></output>`
      : `<fieldset class="dip-choices"><legend></legend>${states
          .map((_, i) => `<label><input type="radio" name="${group}" value="${i}"> <span></span></label>`)
          .join("")}</fieldset>`;
    el.innerHTML = `
      <div class="dip-row">${choices}</div>
      <div class="dip-pictures">${captions.map(() => '<figure><img alt=""><figcaption></figcaption></figure>').join("")}</div>
      <p class="dip-muted" role="status"></p>`;
    // text is set as text: nothing of it can be markup
    el.querySelector(ordered ? "label span" : "legend").textContent = label;
    if (!ordered) el.querySelectorAll("label span").forEach((span, i) => { span.textContent = states[i].name; });
    el.querySelectorAll("figcaption").forEach((told, i) => { told.textContent = captions[i]; });
    const inputs = [...el.querySelectorAll("input")];
    const show = (at) => {
      const state = states[at];
      el.querySelectorAll("img").forEach((img, i) => {
        img.src = state.pictures[i];
        img.alt = `${captions[i]}: ${state.name}`;
      });
      el.querySelector("[role=status]").textContent = state.text;
      if (ordered) {
        el.querySelector("output").textContent = state.name;
        inputs[0].setAttribute("aria-valuetext", state.name);
      }
    };
    if (ordered) inputs[0].value = start;
    else inputs[start].checked = true;
    for (const input of inputs) input.addEventListener("input", () => show(Number(input.value)));
    show(start);
  },
};
