// A brush over a picture, for mouse, finger and keyboard: a button that covers it.
const STEP = 1 / 20; // of the picture's side, for an arrow key
const ARROWS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const HELP = "arrow keys move it, space paints, Escape puts it away";

// In a parent.  `dab(x, y)` is called where it paints, with shares of the side; `away()` on Escape.
// Returns show(visible).
export function brush(parent, dab, away) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "dip-brush", hidden: true });
  button.setAttribute("aria-label", `Brush on the given picture: ${HELP}`);
  button.innerHTML = "<span></span>";
  parent.append(button);
  let [x, y] = [0.5, 0.5];

  const move = (toX, toY) => {
    [x, y] = [toX, toY].map((share) => Math.min(1, Math.max(0, share)));
    button.style.setProperty("--x", x);
    button.style.setProperty("--y", y);
  };
  const follow = ({ clientX, clientY }) => {
    const box = button.getBoundingClientRect();
    move((clientX - box.left) / box.width, (clientY - box.top) / box.height);
  };
  button.addEventListener("pointerdown", (event) => {
    if (event.button || !event.isPrimary) return; // a menu; a second finger
    button.setPointerCapture(event.pointerId);
    follow(event);
    dab(x, y);
  });
  button.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    follow(event);
    if (event.buttons & 1 && button.hasPointerCapture(event.pointerId)) dab(x, y);
  });
  button.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (event.key === " ") dab(x, y);
    else if (event.key === "Escape") away();
    else if (!arrow) return;
    event.preventDefault();
    if (!arrow) return;
    move(x + arrow[0] * STEP, y + arrow[1] * STEP);
    const [across, below] = [x, y].map((share) => Math.round(100 * share));
    button.setAttribute("aria-label", `Brush at ${across} % across, ${below} % down: ${HELP}`);
  });
  return (visible) => {
    button.hidden = !visible;
    move(x, y);
  };
}
