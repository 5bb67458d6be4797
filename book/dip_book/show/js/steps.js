// One thing in several states: pictures that change with a slider or a choice.
let count = 0;
export default {
  render({ model, el }) {
    const [states, captions, label, ordered] = ["states", "captions", "label", "slider"].map((name) => model.get(name));
    el.classList.add("dip-view");
    const group = `dip-steps-${++count}-${Math.random().toString(36).slice(2, 8)}`;
    const choices = ordered
      ? `<label>${label} <input type="range" min="0" max="${states.length - 1}" step="1" value="0"></label><output></output>`
      : `<fieldset class="dip-choices"><legend>${label}</legend>${states
          .map((state, i) => `<label><input type="radio" name="${group}" value="${i}" ${i ? "" : "checked"}> ${state.name}</label>`)
          .join("")}</fieldset>`;
    el.innerHTML = `
      <div class="dip-row">${choices}</div>
      <div class="dip-pictures">${captions.map((caption) => `<figure><img alt=""><figcaption>${caption}</figcaption></figure>`).join("")}</div>
      <p class="dip-muted" role="status"></p>`;
    const show = (at) => {
      const state = states[at];
      el.querySelectorAll("img").forEach((img, i) => {
        img.src = state.pictures[i];
        img.alt = `${captions[i]}: ${state.name}`;
      });
      el.querySelector("[role=status]").textContent = state.text;
      if (ordered) {
        el.querySelector("output").textContent = state.name;
        el.querySelector("input").setAttribute("aria-valuetext", state.name);
      }
    };
    for (const input of el.querySelectorAll("input")) input.addEventListener("input", () => show(Number(input.value)));
    show(0);
  },
};
