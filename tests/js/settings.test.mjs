// What travels in a link, which networks the settings ask for, and pictures.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  halved,
  knownPixels,
  paint,
  shuffling,
} from "../../book/dip_book/show/js/live/pictures.js";
import {
  SETTINGS,
  decode,
  defaults,
  encode,
  lanes,
} from "../../book/dip_book/show/js/live/settings.js";

test("a link brings back what was chosen, and painted", () => {
  const settings = {
    ...defaults(),
    picture: "brick",
    size: 128,
    p: 20,
    compare: "reading",
    muon: 0.05,
    sigma: 0,
    seed: 12,
    pixels: "shuffled",
  };
  const painted = new Uint8Array(128 * 128);
  paint(painted, 128, 40, 90, 6, 1);
  const back = decode(encode(settings, painted));
  assert.deepEqual(back.settings, settings);
  assert.deepEqual(back.painted, painted);
  assert.equal(encode(defaults(), new Uint8Array(64 * 64)), "");
});

test("what a link says wrongly is as at the start", () => {
  const { settings, painted } = decode(
    "p=900&size=65&compare=cats&muon=&adam=x&picture=%3Cb%3E&depth=2.5&seed=-1&holes=%%%",
  );
  assert.deepEqual(settings, defaults());
  assert.equal(painted.length, 64 * 64);
});

test("what is compared is run both ways, the rest alike", () => {
  for (const compare of ["optimiser", "reading", "upsampling", "pixels", "seed"]) {
    const [one, other] = lanes({ ...defaults(), compare });
    const different = Object.keys(SETTINGS).filter((name) => one[name] !== other[name]);
    assert.deepEqual(different, [compare]);
    assert.notEqual(one.name, other.name);
  }
  assert.equal(lanes({ ...defaults(), compare: "nothing" }).length, 1);
});

test("a larger share keeps what a smaller one kept; paint hides; another seed is another mask", () => {
  const none = new Uint8Array(4096);
  const [few, many, other] = [
    knownPixels(64, 0.3, 0, none),
    knownPixels(64, 0.6, 0, none),
    knownPixels(64, 0.3, 1, none),
  ];
  assert.ok(few.every((known, i) => known <= many[i]));
  assert.ok(few.some((known, i) => known !== other[i]));
  const share = few.reduce((a, b) => a + b) / 4096;
  assert.ok(Math.abs(share - 0.3) < 0.03);
  const painted = paint(none.slice(), 64, 10, 10, 3, 1) ?? none;
  const hole = new Uint8Array(4096).fill(1);
  assert.equal(
    knownPixels(64, 1, 0, hole).reduce((a, b) => a + b),
    0,
  );
  assert.ok(painted);
});

test("shuffled pixels are the same ones, and go back", () => {
  const picture = Float32Array.from({ length: 256 }, (_, i) => i);
  const { shuffle, restore } = shuffling(16);
  const shuffled = shuffle(picture);
  assert.ok(shuffled.some((value, i) => value !== i));
  assert.deepEqual(
    [...shuffled].sort((a, b) => a - b),
    [...picture],
  );
  assert.deepEqual(restore(shuffled), picture);
});

test("half the size is the mean of blocks", () => {
  assert.deepEqual(
    [...halved(Float32Array.from([1, 2, 5, 6, 3, 4, 7, 8, 0, 0, 1, 1, 0, 0, 1, 1]), 4)],
    [2.5, 6.5, 0, 1],
  );
});
