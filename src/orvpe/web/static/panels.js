// What the model says: similarity, action bars, nearest clips, the map.

import { colour, prepare } from "./stage.js";

const MOST_ACTIONS = 10;
const $ = (id) => document.getElementById(id);

export function make(tag, text = "", kind = "") {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

const percent = (p) => `${Math.round(100 * p)}%`;

export function showSimilarity(answer) {
  $("similarity").textContent = answer.similarity.toFixed(2).replace("-", "\u2212");
  $("similarity").title = `plain cosine ${answer.cosine.toFixed(3)}`;
  $("meter").firstElementChild.style.width = `${100 * Math.max(0, Math.min(1, answer.similarity))}%`;
  const closer = answer.closer === null || answer.hidden === 0 ? "" : (100 * answer.closer).toFixed(answer.closer > 0.99 ? 1 : 0);
  $("closer").textContent = closer && `nearer than ${closer}% of all other clips`;
  $("hidden").textContent = answer.hidden > 0 ? `${percent(answer.hidden)} of the joints hidden` : "nothing hidden";
}

/** Rows stay where they are while joints are hidden: the order is that of the whole clip. */
export function showActions(answer) {
  const [full, occluded] = [answer.full.probabilities, answer.occluded.probabilities];
  $("actions-card").hidden = !full;
  if (!full) return;
  const order = full.map((_, i) => i).sort((a, b) => full[b] - full[a]);
  const shown = order.slice(0, MOST_ACTIONS);
  const best = occluded.indexOf(Math.max(...occluded));
  if (!shown.includes(best)) shown[shown.length - 1] = best; // what it is taken for now must be among them
  const list = $("actions");
  while (list.children.length > shown.length) list.lastChild.remove();
  while (list.children.length < shown.length) list.append(row());
  shown.forEach((c, i) => {
    const [label, values, bars] = list.children[i].children;
    label.textContent = answer.classes[c].replaceAll("_", " ");
    label.title = label.textContent;
    [full[c], occluded[c]].forEach((p, side) => {
      values.children[side].textContent = percent(p);
      bars.children[side].firstChild.style.transform = `scaleX(${p})`;
    });
  });
}

function row() {
  const item = make("li");
  const values = make("span", "", "values number");
  const bars = make("div", "", "bars");
  bars.setAttribute("aria-hidden", "true");
  for (const side of ["full", "occluded"]) {
    values.append(make("b"));
    const bar = make("div");
    bar.append(make("i", "", side));
    bars.append(bar);
  }
  item.append(make("span", "", "label"), values, bars);
  return item;
}

export function showNearest(answer) {
  $("nearest-card").hidden = !answer.full.nearest;
  for (const side of ["full", "occluded"]) {
    const rows = (answer[side].nearest || []).map((clip) => {
      const item = make("li");
      const about = [clip.subject, clip.camera].filter(Boolean).join(", ") || clip.name;
      const first = make("span", (clip.label || clip.name).replaceAll("_", " "));
      first.title = clip.name;
      item.append(first, make("span", clip.similarity.toFixed(2), "number"), make("span", about, "quiet"));
      return item;
    });
    $(`nearest-${side}`).replaceChildren(...rows);
  }
}

export class IndexMap {
  constructor(canvas, map) {
    Object.assign(this, { canvas, map, answer: null });
    $("map-card").hidden = !map;
    if (!map) return;
    $("map-source").textContent = `${map.points.length.toLocaleString("en")} clips, ${map.source}`;
    new ResizeObserver(() => this.draw()).observe(canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(answer) {
    this.answer = answer;
    if (this.map) this.draw();
  }

  draw() {
    const { context, width, height } = prepare(this.canvas);
    const margin = 12;
    const clamp = (v) => Math.max(-1.04, Math.min(1.04, v));
    const place = ([x, y]) => [
      width / 2 + (clamp(x) * (width - 2 * margin)) / 2.08,
      height / 2 - (clamp(y) * (height - 2 * margin)) / 2.08,
    ];
    const [dot, full, occluded, card] = ["--dot", "--full", "--occluded", "--card"].map(colour);
    const alike = this.answer?.full.nearest?.[0]?.label;
    $("map-class").textContent = alike ? `blue: ${alike.replaceAll("_", " ")}` : "\u00a0";
    const radius = this.map.points.length > 1000 ? 1.6 : 2.2;
    for (const marked of [false, true]) {
      context.fillStyle = marked ? full : dot;
      context.globalAlpha = marked ? 0.5 : 0.75;
      this.map.points.forEach((point, i) => {
        if ((alike !== undefined && alike !== null && this.map.labels[i] === alike) !== marked) return;
        const [x, y] = place(point);
        context.beginPath();
        context.arc(x, y, radius, 0, 2 * Math.PI);
        context.fill();
      });
    }
    context.globalAlpha = 1;
    if (!this.answer?.full.point) return;
    const [a, b] = [place(this.answer.full.point), place(this.answer.occluded.point)];
    context.strokeStyle = occluded;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(...a);
    context.lineTo(...b);
    context.stroke();
    for (const [[x, y], fill] of [[b, occluded], [a, full]]) {
      context.beginPath();
      context.arc(x, y, 6, 0, 2 * Math.PI);
      context.fillStyle = fill;
      context.fill();
      context.strokeStyle = card;
      context.lineWidth = 2;
      context.stroke();
    }
  }
}

// A small body for the buttons: joint -> place, and its bones.
const BODY = {
  head: [13, 4], neck: [13, 10], mid_hip: [13, 20],
  right_shoulder: [8, 11], right_elbow: [5, 16], right_wrist: [4, 21], right_hip: [10, 21], right_knee: [9, 27], right_ankle: [8, 34],
  left_shoulder: [18, 11], left_elbow: [21, 16], left_wrist: [22, 21], left_hip: [16, 21], left_knee: [17, 27], left_ankle: [18, 34],
};
const BONES = [["head", "neck"], ["neck", "mid_hip"], ...["left", "right"].flatMap((s) => [
  ["neck", `${s}_shoulder`], [`${s}_shoulder`, `${s}_elbow`], [`${s}_elbow`, `${s}_wrist`],
  ["mid_hip", `${s}_hip`], [`${s}_hip`, `${s}_knee`], [`${s}_knee`, `${s}_ankle`]])];
const isGone = {
  upper: (j) => !/hip|knee|ankle/.test(j),
  lower: (j) => /hip|knee|ankle/.test(j),
  right: (j) => j.startsWith("right"),
  left: (j) => j.startsWith("left"),
  centre: (j) => !j.includes("_") || j === "mid_hip",
};

/** A picture of a body with a part hidden; seen from the front, so its right is on the left. */
export function bodyPicture(part) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 26 36");
  svg.setAttribute("aria-hidden", "true");
  const gone = isGone[part] || (() => false);
  const add = (tag, attributes, hidden) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (hidden) made.setAttribute("class", "gone");
    svg.append(made);
  };
  for (const [a, b] of BONES) {
    const [[x1, y1], [x2, y2]] = [BODY[a], BODY[b]];
    add("line", { x1, y1: a === "head" ? 7 : y1, x2, y2 }, gone(a) || gone(b));
  }
  add("circle", { cx: 13, cy: 4, r: 3 }, gone("head"));
  return svg;
}
