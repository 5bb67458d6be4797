// Where the axis of a chart begins, and what becomes of a curve below it.  The script is no module: it is put before others.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const file = new URL("../../book/dip_book/show/js/chart.js", import.meta.url);
const chart = new Function(`${readFileSync(file, "utf8")}; return chart;`)();

let made = [];
const element = (name) => {
  const one = {
    name,
    at: {},
    kids: [],
    clientWidth: 300,
    style: { setProperty() {} },
    setAttribute(key, value) { this.at[key] = value; },
    append(kid) { this.kids.push(kid); },
    replaceChildren() { this.kids = []; },
    querySelector() { return this.kids.find((kid) => kid.name === "g"); },
  };
  made.push(one);
  return one;
};
globalThis.document = { createElementNS: (_, name) => element(name) };
globalThis.window = {};

// The numbers beside the axis, and a curve's points from left to right.
function drawn(y, more) {
  made = [];
  const x = y.map((_, i) => i);
  const move = chart(element("div"), { title: "PSNR", series: [{ x, y, name: "a" }], ...more });
  move(0);
  const texts = made.filter((one) => one.name === "text" && one.at["text-anchor"] === "end" && one.at.x < 50);
  const curve = made.find((one) => one.name === "polyline").at.points;
  return {
    axis: texts.map((one) => Number(one.textContent)),
    points: curve.split(" ").map((point) => Number(point.split(",")[1])),
    dot: made.find((one) => one.name === "circle").at.cy,
    edge: Math.max(...made.filter((one) => one.at.class === "dip-grid").map((one) => one.at.y1)),
  };
}

const rising = [...Array(101).keys()].map((i) => 26 - 20 * Math.exp(-i / 8));

test("the axis begins at a round number under what comes after the first tenth", () => {
  const { axis, points, dot, edge } = drawn(rising, { settled: true });
  assert.ok(axis[0] > 15 && axis[0] <= rising[10], `${axis}`);
  assert.equal(axis[0] % 2, 0);
  assert.ok(axis[axis.length - 1] >= 26);
  assert.equal(points.length, rising.length, "no point is left out");
  assert.ok(Math.abs(points[0] - edge) < 0.1 && Math.abs(dot - edge) < 0.1, "cut at the lower edge");
  assert.ok(points.every((v) => v <= edge + 0.1));
  assert.ok(points[10] <= points[0] && points[100] < points[10]);
});

test("what is high in the beginning is shown, and so is an end below the curve", () => {
  const falling = [30, ...Array(99).fill(20), 21];
  assert.ok(drawn(falling, { settled: true }).axis.at(-1) >= 30);
  const x = rising.map((_, i) => i);
  made = [];
  chart(element("div"), { title: "PSNR", series: [{ x, y: rising, name: "a", end: 12 }], settled: true });
  const axis = made.filter((one) => one.name === "text" && one.at.x === 45).map((one) => Number(one.textContent));
  assert.ok(axis[0] <= 12, `${axis}`);
});

test("otherwise all of a curve is above the axis's beginning", () => {
  const { axis, points } = drawn(rising, {});
  assert.ok(axis[0] <= 6);
  assert.equal(new Set(points.slice(0, 20)).size, 20);
});
