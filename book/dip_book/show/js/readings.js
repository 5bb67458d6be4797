// Hourglasses of the network: one level at a time, by pointing at it or with the choice below (arrow keys).
let count = 0;
export default {
  render({ model, el }) {
    ownKeys(el);
    const levels = model.get("levels");
    const groups = [...el.querySelectorAll("g[data-level]")];
    const others = el.querySelectorAll("g.r-connect"); // of no level
    const choices = document.createElement("fieldset");
    choices.className = "dip-choices";
    choices.setAttribute("aria-label", "Levels of the network to show");
    const name = `level-${++count}-${Math.random().toString(36).slice(2, 8)}`; // the same figure may stand here twice
    choices.innerHTML = `<span class="dip-muted">Show</span>${["all levels", ...levels.keys()].map((level, i) =>
      `<label><input type="radio" name="${name}" value="${i}"${i ? "" : " checked"}> ${i ? i : level}</label>`).join(" ")}`;
    const told = document.createElement("output");
    let chosen = 0;
    const show = (level) => {
      for (const group of groups) group.style.opacity = level && Number(group.dataset.level) !== level ? 0.13 : 1;
      for (const other of others) other.style.opacity = level ? 0.13 : 1;
      told.replaceChildren();
      for (const line of level ? [`Level ${level} alone.`, ...levels[level - 1]] : ["Point at a level, or choose one, to see it alone."]) {
        const row = document.createElement("div");
        row.textContent = line;
        told.append(row);
      }
    };
    choices.addEventListener("change", (event) => { chosen = Number(event.target.value); show(chosen); });
    for (const group of groups) {
      group.addEventListener("pointerenter", () => show(Number(group.dataset.level)));
      group.addEventListener("pointerleave", () => show(chosen));
    }
    for (const old of el.querySelectorAll(".dip-readings > :is(fieldset, output)")) old.remove(); // a saved page's
    el.querySelector(".dip-readings").append(choices, told);
    show(0);
  },
};
