"use strict";
// The page of `orvpe demo`: pictures, skeletons and what the model says, all from the data in the page.

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const NOWHERE = -32768;
const MANY = 3; // classes shown for each person
// white text on each has a contrast of at least 4.5
const HUES = ["#3a6ea5", "#a85a15", "#3f7d3d", "#9a4f8f", "#b23b3b", "#257878", "#7a6a2b", "#6a5acd", "#b5486d", "#52708a", "#8c5a3c", "#5b7f2f"];

let version = "none";
let frame = 0;
let playing = !window.matchMedia("(prefers-reduced-motion: reduce)").matches;
let withPictures = true;
const count = data.pictures.length;
const pictures = data.pictures.map((text) => Object.assign(new Image(), { src: `data:image/jpeg;base64,${text}` }));
data.pictures = null; // each image keeps its own
$("data").remove();

for (const person of data.people) {
  person.places = new Int16Array(bytes(person.places).buffer);
  for (const v of data.versions) person.seen[v] = bytes(person.seen[v]);
}

/** Whether a person's joint is visible in a frame of its own. */
function seen(person, v, t, joint) {
  const bit = t * person.joints.length + joint;
  return (person.seen[v][bit >> 3] >> (7 - (bit & 7))) & 1;
}

/** Class probabilities of a person at a time, or null. */
function said(person, v, seconds) {
  const { edges } = person;
  if (seconds < edges[0] || seconds >= edges[edges.length - 1]) return null;
  let slot = edges.length - 2;
  while (slot > 0 && edges[slot] > seconds) slot -= 1;
  return person.probabilities[v][slot];
}

const best = (p) => p.indexOf(Math.max(...p));
const name = (p) => (p === null ? "not seen" : p[best(p)] < data.threshold ? `${data.unnamed} (${data.titles[best(p)]}?)` : data.titles[best(p)]);
const secondsAt = (f) => data.start + f / data.fps; // of the video
const percent = (x) => `${Math.round(100 * x)} %`;

// --- the picture ---

const stage = $("stage");
$("frame-of-stage").style.aspectRatio = `${data.size[0]} / ${data.size[1]}`;
$("frame-of-stage").style.width = `min(100%, ${(80 * data.size[0]) / data.size[1]}vh)`; // an upright one fits the window

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [stage.clientWidth, stage.clientHeight];
  const context = stage.getContext("2d");
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (stage.width !== wide || stage.height !== high) [stage.width, stage.height] = [wide, high];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, wide, high);
  const scale = width / data.size[0];
  context.setTransform(ratio * scale, 0, 0, ratio * scale, 0, 0);
  const picture = pictures[frame];
  if (withPictures && picture.complete && picture.naturalWidth) context.drawImage(picture, 0, 0, ...data.size);
  const labels = [];
  for (const person of data.people) {
    const t = frame - person.first;
    if (t < 0 || t >= person.frames) continue;
    labels.push(drawPerson(context, person, t, scale));
  }
  for (const label of labels) if (label) drawLabel(context, label, scale);
}

function drawPerson(context, person, t, scale) {
  const joints = person.joints.length;
  const at = (v) => {
    const i = 2 * (t * joints + v);
    return person.places[i] === NOWHERE ? null : [person.places[i], person.places[i + 1]];
  };
  const points = person.joints.map((_, v) => at(v));
  const there = points.filter(Boolean);
  if (!there.length) return null;
  const ys = there.map((p) => p[1]);
  const xs = there.map((p) => p[0]);
  const thick = Math.max(1.6, Math.min(5, (Math.max(...ys) - Math.min(...ys)) / 40)) / Math.max(scale, 0.6);
  context.lineCap = "round";
  context.strokeStyle = person.colour;
  context.fillStyle = person.colour;
  for (const [a, b] of person.bones) {
    if (!points[a] || !points[b]) continue;
    const whole = seen(person, version, t, a) && seen(person, version, t, b);
    if (!whole && !seen(person, "none", t, a) && !seen(person, "none", t, b)) continue; // both guessed
    context.lineWidth = whole ? thick : thick * 0.45;
    context.setLineDash(whole ? [] : [thick * 0.5, thick * 1.3]);
    context.beginPath();
    context.moveTo(...points[a]);
    context.lineTo(...points[b]);
    context.stroke();
  }
  context.setLineDash([]);
  points.forEach((p, v) => {
    if (!p) return;
    const visible = seen(person, version, t, v);
    context.beginPath();
    context.arc(p[0], p[1], thick * (visible ? 1 : 0.9), 0, 2 * Math.PI);
    context.lineWidth = thick * 0.4;
    if (visible) context.fill();
    else context.stroke();
  });
  const p = said(person, version, secondsAt(frame + 0.5));
  const text = p === null ? "" : name(p);
  return text && { text, x: (Math.min(...xs) + Math.max(...xs)) / 2, y: Math.min(...ys), colour: person.colour };
}

/** Black or white, whichever is read better on a colour "#rrggbb". */
function ink(paint) {
  const [r, g, b] = [1, 3, 5].map((i) => (parseInt(paint.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#111" : "#fff";
}

function drawLabel(context, { text, x, y, colour: paint }, scale) {
  const size = 13 / scale;
  context.font = `600 ${size}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + size;
  const left = Math.max(0, Math.min(data.size[0] - wide, x - wide / 2));
  const top = Math.max(0, y - 2.4 * size);
  context.fillStyle = paint;
  context.beginPath();
  context.roundRect(left, top, wide, 1.6 * size, 0.35 * size);
  context.fill();
  context.fillStyle = ink(paint);
  context.fillText(text, left + size / 2, top + 1.15 * size);
}

// --- beside it ---

const element = (tag, set = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), set);
  made.append(...inside);
  return made;
};

const cards = data.people.map((person) => {
  const dot = element("i");
  dot.style.background = person.colour;
  const text = element("span", { className: "said" });
  const list = element("ol", { className: "actions" });
  const rows = Array.from({ length: Math.min(MANY, data.classes.length) }, () => {
    const row = {
      label: element("span", { className: "label" }), full: element("b"), occluded: element("b"),
      bars: [element("i", { className: "full" }), element("i", { className: "occluded" })],
    };
    list.append(element("li", {}, row.label, element("span", { className: "values number" }, row.full, row.occluded),
      element("div", { className: "bars" }, ...row.bars.map((bar) => element("div", {}, bar)))));
    return row;
  });
  const card = element("div", { className: "who" }, element("h3", {}, dot, person.name, text), list);
  $("now").append(card);
  return { card, text, rows };
});

function tellNow() {
  const seconds = secondsAt(frame + 0.5);
  data.people.forEach((person, i) => {
    const { card, text, rows } = cards[i];
    const [full, occluded] = [said(person, "none", seconds), said(person, version, seconds)];
    card.dataset.away = String(full === null);
    text.textContent = full === null ? "not seen now" : version === "none" ? name(full) : `${name(full)}, hidden: ${name(occluded)}`;
    const order = full === null ? [] : full.map((_, k) => k).sort((a, b) => full[b] - full[a]);
    rows.forEach((row, r) => {
      const k = order[r];
      row.label.textContent = k === undefined ? "\u2013" : data.titles[k];
      row.full.textContent = k === undefined ? "" : percent(full[k]);
      row.occluded.textContent = k === undefined || version === "none" || occluded === null ? "" : percent(occluded[k]);
      row.bars[0].style.transform = `scaleX(${k === undefined ? 0 : full[k]})`;
      row.bars[1].style.transform = `scaleX(${k === undefined || version === "none" || occluded === null ? 0 : occluded[k]})`;
    });
  });
}

// --- over time ---

const hue = (k) => HUES[k % HUES.length];
const cursors = [];
const strips = data.people.map((person) => {
  const dot = element("i");
  dot.style.background = person.colour;
  const made = { whole: strip(), hidden: strip(), label: element("span", { className: "quiet" }) };
  $("times").append(element("div", { className: "track" }, element("h3", {}, dot, person.name),
    element("span", { className: "quiet", textContent: "whole" }), made.whole, made.label, made.hidden));
  fill(made.whole, person, "none");
  return made;
});

function strip() {
  const made = element("div", { className: "strip" });
  made.addEventListener("click", (event) => {
    const box = made.getBoundingClientRect();
    goTo(Math.floor(((event.clientX - box.left) / box.width) * count));
  });
  return made;
}

function fill(where, person, v) {
  where.replaceChildren();
  const total = count / data.fps;
  const spans = [];
  person.probabilities[v].forEach((p, s) => {
    if (p === null) return;
    const text = name(p);
    const last = spans[spans.length - 1];
    if (last && last.text === text && last.end === person.edges[s]) last.end = person.edges[s + 1];
    else spans.push({ text, k: best(p), sure: p[best(p)] >= data.threshold, start: person.edges[s], end: person.edges[s + 1] });
  });
  for (const { text, k, sure, start, end } of spans) {
    const span = element("span", { textContent: text, title: `${text}, ${start.toFixed(1)} to ${end.toFixed(1)} s`, className: sure ? "" : "unsure" });
    span.style.left = `${(100 * (start - data.start)) / total}%`;
    span.style.width = `${(100 * (end - start)) / total}%`;
    if (sure) span.style.background = hue(k);
    where.append(span);
  }
  const cursor = element("b");
  where.append(cursor);
  where.cursor = cursor;
}

// --- the controls ---

function hide(v) {
  version = v;
  document.querySelectorAll("#parts button").forEach((b) => b.setAttribute("aria-pressed", String(b.value === v)));
  $("hidden-name").textContent = v === "none" ? "hidden" : `${v} hidden`;
  strips.forEach((s, i) => {
    s.label.textContent = v === "none" ? "hidden: none" : `${v} hidden`;
    fill(s.hidden, data.people[i], v);
  });
  $("said").textContent = v === "none" ? "Nothing hidden" : `The ${v} part is hidden`;
  goTo(frame);
}

function goTo(to) {
  frame = ((to % count) + count) % count;
  $("scrub").value = frame;
  $("time").textContent = `${secondsAt(frame).toFixed(1)} s`;
  $("scrub").setAttribute("aria-valuetext", $("time").textContent);
  const left = `${(100 * (frame + 0.5)) / count}%`;
  for (const s of strips) for (const one of [s.whole, s.hidden]) one.cursor.style.left = left;
  draw();
  tellNow();
}

function play(on) {
  playing = on;
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  $("play-shape").setAttribute("d", on ? "M4 2h3v12H4zM9 2h3v12H9z" : "M4 2l10 6-10 6z");
}

for (const v of data.versions) {
  const button = element("button", { type: "button", value: v, textContent: v === "none" ? "Nothing" : v[0].toUpperCase() + v.slice(1) });
  button.addEventListener("click", () => hide(v));
  $("parts").append(button);
}
$("play").addEventListener("click", () => play(!playing));
stage.addEventListener("click", () => play(!playing));
$("scrub").max = count - 1;
$("scrub").addEventListener("input", (event) => { play(false); goTo(Number(event.target.value)); });
$("pictures").addEventListener("click", () => {
  withPictures = !withPictures;
  $("pictures").setAttribute("aria-pressed", String(withPictures));
  draw();
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, target } = event;
  if (key === " " && target.tagName !== "BUTTON") { event.preventDefault(); play(!playing); }
  const own = target.id === "scrub" || target.id === "summary"; // these have their own use for arrows
  if (!own && key === "ArrowRight") { play(false); goTo(frame + 1); }
  if (!own && key === "ArrowLeft") { play(false); goTo(frame - 1); }
  if (/^[0-5]$/.test(key)) hide(data.versions[Number(key)]);
});
window.addEventListener("resize", draw);
pictures.forEach((p) => p.addEventListener("load", () => { if (pictures[frame] === p) draw(); }));

$("about").textContent = data.about;
$("summary").textContent = data.summary;
play(playing);
hide("none");
let last = performance.now();
function tick(now) {
  if (playing && now - last >= 1000 / data.fps) {
    last = now - last > 1000 ? now : last + 1000 / data.fps;
    goTo(frame + 1);
  }
  if (!playing) last = now;
  requestAnimationFrame(tick);
}
requestAnimationFrame(tick);
