// The page: chooses clips, asks the server as fast as it answers, and tells the panels.

import { IndexMap, bodyPicture, make, showActions, showNearest, showSimilarity } from "./panels.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const PLAY = "M3 1.5v13l11-6.5z";
const PAUSE = "M3 2h4v12H3zM9 2h4v12H9z";
const state = { part: null, clip: null, parts: [], asking: false, again: false, map: null };

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Error("the server does not answer");
  }
  const data = await response.json().catch(() => ({ detail: `status ${response.status}` }));
  if (!response.ok) throw new Error(data.detail);
  return data;
}

const post = (address, data) =>
  ask(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(data) });

function tellError(error) {
  $("error").hidden = !error;
  $("error").firstElementChild.textContent = error ? error.message || String(error) : "";
}

function tellNote(text) {
  $("note").hidden = !text;
  $("note").textContent = text || "";
}

// --- asking: one question at a time, and the last one counts --------------------------------------------------

async function compare() {
  if (state.asking) {
    state.again = true;
    return;
  }
  state.asking = true;
  try {
    do {
      state.again = false;
      const clip = state.clip;
      const asked = { clip: clip.id, part: state.part, rectangle: stage.asked(), nearest: 4 };
      const answer = await post("/api/compare", asked);
      if (state.clip === clip) show(answer);
    } while (state.again);
  } catch (error) {
    tellError(error);
  } finally {
    state.asking = false;
  }
}

function show(answer) {
  stage.visible = Uint8Array.from(atob(answer.visible), (c) => c.charCodeAt(0));
  stage.redraw();
  showSimilarity(answer);
  showActions(answer);
  showNearest(answer);
  state.map?.show(answer);
  $("speed").textContent = `${answer.milliseconds.toFixed(0)} ms`;
  clearTimeout(state.saying);
  state.saying = setTimeout(() => say(answer), 600);
}

/** For those who hear the page. */
function say(answer) {
  const p = answer.occluded.probabilities;
  const best = p ? p.indexOf(Math.max(...p)) : -1;
  const action = p ? `, most probable: ${answer.classes[best]}, ${Math.round(100 * p[best])} percent` : "";
  const hidden = Math.round(100 * answer.hidden);
  $("said").textContent = `${hidden} percent of the joints hidden, similarity ${answer.similarity.toFixed(2)}${action}`;
}

// --- clips ----------------------------------------------------------------------------------------------------

function offer(clips, group) {
  const made = make("optgroup");
  made.label = group;
  made.append(...clips.map((clip) => {
    const option = make("option", clip.title);
    option.value = clip.id;
    return option;
  }));
  $("clip").append(made);
}

async function choose(id) {
  tellError(null);
  try {
    const clip = await ask(`/api/clips/${encodeURIComponent(id)}`);
    state.clip = clip;
    $("clip").value = id;
    $("scrub").max = clip.frames - 1;
    $("turn").hidden = clip.dims !== 3;
    stage.show(clip);
    await compare();
  } catch (error) {
    tellError(error);
  }
}

async function upload(file) {
  tellError(null);
  tellNote(null);
  if (!file) return;
  if (file.size > state.health.upload_bytes) {
    const most = (state.health.upload_bytes / 2 ** 20).toFixed(0);
    tellError(new Error(`${file.name}: ${(file.size / 2 ** 20).toFixed(0)} MB, expected at most ${most} MB`));
    return;
  }
  const form = new FormData();
  form.append("file", file);
  const isVideo = file.type.startsWith("video/");
  tellNote(isVideo ? `${file.name}: looking for people, which takes a while` : `Reading ${file.name}`);
  try {
    const found = await ask("/api/clips", { method: "POST", body: form });
    offer(found.clips, file.name);
    await choose(found.clips[0].id);
    tellNote(found.notes.join("; "));
  } catch (error) {
    tellNote(null);
    const missing = isVideo && !state.health.video ? "; videos need: pip install 'orvpe[video]'" : "";
    tellError(new Error(error.message + missing));
  }
}

// --- controls -------------------------------------------------------------------------------------------------

function setPart(part) {
  state.part = part;
  for (const button of $("parts").children) {
    button.setAttribute("aria-pressed", String((button.dataset.part || null) === part));
  }
  $("hint").hidden = Boolean(stage.rectangle);
  if (state.clip) compare();
}

function clear() {
  stage.rectangle = null;
  stage.redraw();
  tellError(null);
  setPart(null);
}

function setPlaying(playing) {
  stage.playing = playing;
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  $("play-shape").setAttribute("d", playing ? PAUSE : PLAY);
}

function setTurning(turning) {
  stage.turning = turning;
  $("turn").setAttribute("aria-pressed", String(turning));
}

function moved(frame) {
  $("scrub").value = frame;
  $("frame").textContent = `${frame + 1} / ${state.clip.frames}`;
}

const stage = new Stage(
  $("stage"),
  () => {
    $("hint").hidden = Boolean(stage.rectangle);
    compare();
  },
  moved,
);

function makeParts(names) {
  state.parts = [null, ...names];
  const title = { upper: "Upper", lower: "Lower", right: "Right", left: "Left", centre: "Centre" };
  $("parts").append(...state.parts.map((part) => {
    const button = make("button");
    button.type = "button";
    button.dataset.part = part || "";
    button.setAttribute("aria-label", part ? `Hide the ${part} body` : "Hide nothing");
    button.append(bodyPicture(part), make("span", part ? title[part] || part : "All seen"));
    button.addEventListener("click", () => setPart(state.part === part ? null : part));
    return button;
  }));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !state.clip) return;
  const inside = event.target.closest?.("select, input, button, a");
  const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === "Escape") {
    clear();
  } else if (/^[0-6]$/.test(event.key) && event.target.tagName !== "SELECT") {
    setPart(state.parts[Number(event.key)] || null); // 6 is the sixth sub-graph: all is seen
  } else if (event.key.toLowerCase() === "r" && event.target.tagName !== "SELECT") {
    stage.place();
  } else if (event.key === " " && !inside) {
    setPlaying(!stage.playing);
    event.preventDefault();
  } else if (arrow && event.shiftKey && stage.rectangle && !inside) {
    stage.shift(12 * arrow[0], 12 * arrow[1]);
    event.preventDefault();
  } else if (arrow && arrow[0] && !event.shiftKey && !inside) {
    setPlaying(false);
    stage.goTo((stage.frame + arrow[0] + state.clip.frames) % state.clip.frames);
    event.preventDefault();
  }
}

function listen() {
  $("clip").addEventListener("change", () => choose($("clip").value));
  $("file").addEventListener("change", () => {
    upload($("file").files[0]);
    $("file").value = "";
  });
  $("play").addEventListener("click", () => setPlaying(!stage.playing));
  $("turn").addEventListener("click", () => setTurning(!stage.turning));
  $("scrub").addEventListener("input", () => {
    setPlaying(false);
    stage.goTo(Number($("scrub").value));
  });
  $("error").lastElementChild.addEventListener("click", () => tellError(null));
  document.addEventListener("keydown", onKey);
  let inside = 0; // a drag enters and leaves every element it passes
  document.addEventListener("dragenter", () => { inside += 1; $("drop").hidden = false; });
  document.addEventListener("dragleave", () => { inside -= 1; $("drop").hidden = inside > 0 ? false : true; });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    $("drop").hidden = true;
    upload(event.dataTransfer.files[0]);
  });
}

async function begin() {
  listen();
  setPlaying(stage.playing);
  setTurning(stage.turning);
  try {
    const [health, models, samples] = await Promise.all(["health", "models", "samples"].map((n) => ask(`/api/${n}`)));
    state.health = health;
    const [model] = models.models;
    const classes = model.classes ? `, ${model.classes.length} actions${model.fitted ? " (fitted at start)" : ""}` : "";
    $("model").textContent = `${model.name}, ${model.dims}D${classes}`;
    makeParts(health.parts);
    setPart(null);
    if (samples.clips.length) offer(samples.clips, "Samples");
    state.map = new IndexMap($("map"), health.index ? await ask("/api/map") : null);
    if (samples.clips.length) await choose(samples.clips[0].id);
    else tellNote("Open a pose file to begin.");
  } catch (error) {
    tellError(error);
  }
  document.body.dataset.ready = "yes"; // for tests
}

begin();
