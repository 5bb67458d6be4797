// The network as a board of blocks: point at one, or Tab to it, for its code, its shapes and its share of the work.
const times = (shape) => shape.join("×");
const percent = (share) => (share < 0.001 ? "under 0.1 %" : `${(100 * share).toFixed(1)} %`);

export default {
  render({ model, el }) {
    ownKeys(el);
    const blocks = model.get("blocks");
    el.classList.add("dip-view", "tex2jax_ignore", "mathjax_ignore");
    el.innerHTML = `
      <div class="dip-net"></div>
      <div class="dip-block">
        <div role="status"><h4></h4><p class="dip-role"></p><p class="dip-numbers"></p></div><pre role="region" aria-label="The block's code"><code></code></pre>
      </div>`;
    const [board, title, role, numbers, code] = [".dip-net", "h4", ".dip-role", ".dip-numbers", "code"].map((s) => el.querySelector(s));
    const buttons = [];
    let pinned = null; // a click holds a block, so that the way to its code may cross others
    const show = (block) => {
      for (const { button, of } of buttons) button.setAttribute("aria-pressed", of === block);
      title.textContent = block.name;
      role.textContent = block.role;
      const parts = [block.in ? `${times(block.in)} → ${times(block.out)}` : times(block.out)];
      if (block.weights !== undefined)
        parts.push(
          `${block.weights.toLocaleString("en")} weights (${percent(block.share)} of all)`,
          `${(block.work / 1e6).toLocaleString("en", { maximumFractionDigits: 1 })} million multiplications (${percent(block.work_share)})`,
        );
      numbers.textContent = parts.join(" · ");
      code.textContent = block.code ?? "";
      const box = code.parentElement;
      box.hidden = !block.code;
      // a stop for the Tab key only where there is something to scroll
      const scrolls = box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1;
      if (scrolls) box.setAttribute("tabindex", "0");
      else box.removeAttribute("tabindex");
    };
    const place = (element, row, column) => {
      element.style.gridRow = row + 1;
      element.style.gridColumn = column + 1;
      board.append(element);
    };
    const arrow = (sign, row, column) => {
      const span = document.createElement("span");
      span.textContent = sign;
      span.className = "dip-arrow";
      span.setAttribute("aria-hidden", "true");
      place(span, row, column);
    };
    for (const block of [...blocks].sort((a, b) => a.row - b.row || a.column - b.column)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = `dip-kind-${block.kind}`;
      const [name, shape] = [document.createElement("b"), document.createElement("span")];
      [name.textContent, shape.textContent] = [block.name, times(block.out)];
      button.append(name, shape);
      if (block.share !== undefined) {
        const bar = document.createElement("i");
        bar.style.setProperty("--share", Math.sqrt(block.share));
        button.append(bar);
      }
      button.addEventListener("click", () => { pinned = pinned === block ? null : block; show(block); });
      button.addEventListener("focus", () => show(block));
      button.addEventListener("pointerenter", () => { if (!pinned) show(block); });
      buttons.push({ button, of: block });
      place(button, block.row, 2 * block.column);
      if (block.kind === "skip") { arrow("→", block.row, 1); arrow("→", block.row, 3); }
      if (block.kind === "connect") { arrow("↳", block.row, 1); arrow("↱", block.row, 3); }
    }
    const caption = document.createElement("p");
    caption.className = "dip-muted";
    caption.textContent = "Down the left side, across by the skips, up the right side. A block's line: its share of the weights, as a square root. A click holds a block, another lets go.";
    board.after(caption);
    show(blocks.find((block) => block.name === "d1") ?? blocks[0]);
  },
};
