// The skeleton on its canvas: playing, turning, and the rectangle that hides joints.

const SECONDS_A_TURN = 26;
const SMALLEST = 6; // pixels; a shorter drag is a click

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Between two #rrggbb colours; a share of 1 is the first. */
function mixed(a, b, share) {
  const part = (text, i) => parseInt(text.slice(1 + 2 * i, 3 + 2 * i), 16);
  return `rgb(${[0, 1, 2].map((i) => Math.round(part(a, i) * share + part(b, i) * (1 - share))).join(" ")})`;
}

/** A canvas as sharp as the screen; returns its context and size in CSS pixels. */
export function prepare(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

export class Stage {
  /** @param canvas  @param changed called when the rectangle or, while there is one, the view changes  @param moved called with each new frame */
  constructor(canvas, changed, moved) {
    Object.assign(this, { canvas, changed, moved });
    this.clip = null;
    this.visible = null; // Uint8Array of bits from the server, or null: all
    this.rectangle = null; // {x: [from, to], y: [from, to]} in the drawing's coordinates
    this.frame = 0;
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.playing = !this.still;
    this.turning = !this.still;
    this.angle = 0;
    this.last = 0;
    this.dirty = true;
    this.listen();
    new ResizeObserver(() => this.redraw()).observe(canvas);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    requestAnimationFrame((now) => this.tick(now));
  }

  show(clip) {
    this.clip = clip;
    this.visible = null;
    this.rectangle = null;
    this.frame = 0;
    this.time = 0;
    this.measure();
    this.moved(0);
    this.redraw();
  }

  redraw() {
    this.dirty = true;
  }

  /** Middle and extent of all that is ever seen; in 3D around the vertical through the middle, for any angle. */
  measure() {
    const { coordinates, dims, joints } = this.clip;
    const low = Array(dims).fill(Infinity);
    const high = Array(dims).fill(-Infinity);
    const across = [0, 0]; // from right to left shoulder and hip, x and z
    const pairs = ["shoulder", "hip"].map((j) => [joints.indexOf(`left_${j}`), joints.indexOf(`right_${j}`)]);
    for (const frames of coordinates) {
      for (const frame of frames) {
        for (const p of frame) {
          if (p) p.forEach((value, i) => { low[i] = Math.min(low[i], value); high[i] = Math.max(high[i], value); });
        }
        for (const [left, right] of pairs) {
          if (dims === 3 && frame[left] && frame[right]) {
            across[0] += frame[left][0] - frame[right][0];
            across[1] += frame[left][2] - frame[right][2];
          }
        }
      }
    }
    this.low = low;
    this.high = high;
    this.middle = low.map((v, i) => (v + high[i]) / 2);
    this.reach = (high[0] - low[0]) / 2;
    if (dims === 3) {
      this.reach = 0;
      for (const frames of coordinates) {
        for (const frame of frames) {
          for (const p of frame) {
            if (p) this.reach = Math.max(this.reach, Math.hypot(p[0] - this.middle[0], p[2] - this.middle[2]));
          }
        }
      }
    }
    this.reach = Math.max(this.reach, 1e-6);
    this.angle = Math.atan2(across[1], across[0]); // seen from the front
  }

  /** The drawing's coordinates of a joint, and how near it is: -1 far to 1 near. */
  project(p) {
    if (this.clip.dims === 2) return [p[0], p[1], 0];
    const [c, s] = [Math.cos(this.angle), Math.sin(this.angle)];
    const near = -(p[0] - this.middle[0]) * s + (p[2] - this.middle[2]) * c;
    return [p[0] * c + p[2] * s, p[1], near / this.reach];
  }

  /** From the drawing to the canvas: {scale, x0, y0, up}. */
  fitting() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const three = this.clip.dims === 3;
    const tall = Math.max(this.high[1] - this.low[1], 1e-6);
    const scale = Math.min((width - 48) / (2 * this.reach), (height - 76) / (tall * 1.06));
    const middle = three ? this.project(this.middle)[0] : this.middle[0];
    const up = three ? -1 : 1;
    return { scale, up, x0: width / 2 - middle * scale, y0: height / 2 + 8 - up * this.middle[1] * scale };
  }

  toCanvas([x, y]) {
    const f = this.fitting();
    return [f.x0 + x * f.scale, f.y0 + f.up * y * f.scale];
  }

  toDrawing(x, y) {
    const f = this.fitting();
    return [(x - f.x0) / f.scale, (y - f.y0) / (f.up * f.scale)];
  }

  isVisible(person, frame, joint) {
    if (!this.visible) return true;
    const bit = (person * this.clip.frames + frame) * this.clip.joints.length + joint;
    return (this.visible[bit >> 3] >> (7 - (bit & 7))) & 1;
  }

  tick(now) {
    const passed = Math.min(now - this.last, 100) / 1000;
    this.last = now;
    if (this.clip) {
      if (this.playing && this.clip.frames > 1) {
        this.time += passed * (this.clip.fps || 30);
        const frame = Math.floor(this.time) % this.clip.frames;
        if (frame !== this.frame) this.goTo(frame, this.time);
      }
      if (this.turning && !this.rectangle && !this.drag && this.clip.dims === 3) {
        this.angle += (passed * 2 * Math.PI) / SECONDS_A_TURN;
        if (this.angle > Math.PI) this.angle -= 2 * Math.PI;
        this.redraw();
      }
      if (this.dirty) {
        this.dirty = false;
        this.draw();
      }
    }
    requestAnimationFrame((later) => this.tick(later));
  }

  goTo(frame, time = frame) {
    this.frame = Math.max(0, Math.min(this.clip.frames - 1, frame));
    this.time = time;
    this.moved(this.frame);
    this.redraw();
  }

  draw() {
    const { context, width, height } = prepare(this.canvas);
    const [ink, card, line, occluded] = ["--ink", "--card", "--line", "--occluded"].map(colour);
    context.lineCap = "round";
    if (this.clip.dims === 3) {
      const [, floor] = this.toCanvas([0, this.low[1]]);
      context.strokeStyle = line;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(24, Math.min(floor + 8, height - 10));
      context.lineTo(width - 24, Math.min(floor + 8, height - 10));
      context.stroke();
    }
    const tall = (this.high[1] - this.low[1]) * this.fitting().scale;
    const thick = Math.max(2, Math.min(6, tall / 70));
    this.clip.coordinates.forEach((frames, person) => {
      this.drawPerson(context, frames[this.frame], person, thick, { ink, card, occluded });
    });
    if (this.rectangle) this.drawRectangle(context, occluded);
  }

  drawPerson(context, frame, person, thick, { ink, card, occluded }) {
    const { joints, parents } = this.clip;
    const points = frame.map((p) => {
      if (!p) return null;
      const drawn = this.project(p);
      return [...this.toCanvas(drawn), drawn[2]];
    });
    const seen = joints.map((_, v) => this.isVisible(person, this.frame, v));
    const bones = parents.map((p, v) => [v, p]).filter(([v, p]) => v !== p && points[v] && points[p]);
    bones.sort((a, b) => points[a[0]][2] + points[a[1]][2] - points[b[0]][2] - points[b[1]][2]);
    const shade = (near) => mixed(ink, card, 0.8 + 0.2 * Math.max(-1, Math.min(1, near))); // what is far is paler
    for (const [v, p] of bones) {
      const whole = seen[v] && seen[p];
      context.globalAlpha = whole ? 1 : 0.55;
      context.strokeStyle = whole ? shade((points[v][2] + points[p][2]) / 2) : occluded;
      context.lineWidth = whole ? thick : Math.max(1.2, thick * 0.4);
      context.setLineDash(whole ? [] : [1, thick * 1.6]);
      context.beginPath();
      context.moveTo(points[v][0], points[v][1]);
      context.lineTo(points[p][0], points[p][1]);
      context.stroke();
    }
    context.setLineDash([]);
    points.forEach((p, v) => {
      if (!p) return;
      context.beginPath();
      context.arc(p[0], p[1], joints[v] === "head" ? thick * 1.9 : thick * (seen[v] ? 0.95 : 1.05), 0, 2 * Math.PI);
      context.globalAlpha = 1;
      if (seen[v]) {
        context.fillStyle = shade(p[2]);
        context.fill();
      } else {
        context.strokeStyle = occluded;
        context.lineWidth = 1.3;
        context.stroke();
      }
    });
  }

  drawRectangle(context, occluded) {
    const { x, y } = this.rectangle;
    const [ax, ay] = this.toCanvas([x[0], y[0]]);
    const [bx, by] = this.toCanvas([x[1], y[1]]);
    const box = [Math.min(ax, bx), Math.min(ay, by), Math.abs(bx - ax), Math.abs(by - ay)];
    context.globalAlpha = 0.1;
    context.fillStyle = occluded;
    context.fillRect(...box);
    context.globalAlpha = 1;
    context.strokeStyle = occluded;
    context.lineWidth = 1.5;
    context.strokeRect(...box);
  }

  setRectangle(rectangle) {
    this.rectangle = rectangle;
    this.redraw();
    this.changed();
  }

  /** What the server is asked about; null without a rectangle. */
  asked() {
    if (!this.rectangle) return null;
    return { x: this.rectangle.x, y: this.rectangle.y, angle: this.clip.dims === 3 ? this.angle : 0 };
  }

  /** For the keyboard: a rectangle in the middle. */
  place() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const [a, b] = [this.toDrawing(w * 0.4, h * 0.35), this.toDrawing(w * 0.6, h * 0.65)];
    this.setRectangle({ x: [a[0], b[0]], y: [a[1], b[1]] });
  }

  /** Moves the rectangle by pixels of the canvas. */
  shift(dx, dy) {
    const f = this.fitting();
    const { x, y } = this.rectangle;
    const [right, down] = [dx / f.scale, dy / (f.up * f.scale)];
    this.setRectangle({ x: x.map((v) => v + right), y: y.map((v) => v + down) });
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (!this.clip || event.button !== 0) return;
      this.canvas.setPointerCapture(event.pointerId);
      const start = at(event);
      const [x, y] = this.toDrawing(...start);
      const r = this.rectangle;
      const between = (v, [a, b]) => v >= Math.min(a, b) && v <= Math.max(a, b);
      this.drag = { start, last: start, moves: Boolean(r && between(x, r.x) && between(y, r.y)), far: false };
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!this.drag) return;
      const now = at(event);
      const { start, last } = this.drag;
      this.drag.far ||= Math.hypot(now[0] - start[0], now[1] - start[1]) >= SMALLEST;
      if (!this.drag.far) return;
      if (this.drag.moves) {
        this.shift(now[0] - last[0], now[1] - last[1]);
      } else {
        const [a, b] = [this.toDrawing(...start), this.toDrawing(...now)];
        this.setRectangle({ x: [a[0], b[0]], y: [a[1], b[1]] });
      }
      this.drag.last = now;
    });
    const end = () => {
      if (this.drag && !this.drag.far && !this.drag.moves && this.rectangle) this.setRectangle(null);
      this.drag = null;
    };
    this.canvas.addEventListener("pointerup", end);
    this.canvas.addEventListener("pointercancel", end);
  }
}
