// The picture with its blocks. What is marked is Python's to know: a drag is shown at once and
// sent when the pointer is lifted, as the full list of marked blocks; so is what a button makes of
// the marks. Other buttons send their name.

const PATIENCE = 5000; // ms until marks that the page does not know of are given up
const HOLD = 350; // ms that a finger rests before it marks as it moves
const TOOLS = ["brush", "lasso", "rectangle", "row", "column"];
const VIEWS = ["smaller", "whole", "larger", "hand"];
const SIZES = { small: 0, medium: 0.75, large: 1.6 }; // radius of the brush, in blocks
const MOST_BYTES = 32 * 1024 * 1024; // of a picture that is dropped or pasted
const SVG = "http://www.w3.org/2000/svg";
const SLOP = 8; // pixels that a resting finger may move
const ICONS = {
  brush: "M3 14c2 0 2-2 3-3l7-8 2 2-8 7c-1 1-1 3-4 3z",
  rectangle: "M3 4h12v10H3z",
  row: "M2 7h14v4H2z",
  column: "M7 2h4v14H7z",
  lasso: "M9 3c4 0 7 2 7 4.5S13 12 9 12c-1 0-2 0-3-.3M6 11.700C4 11 2 9.5 2 7.5S5 3 9 3M6 12c-1 2 1 2 0 4",
  small: "M9 8a1 1 0 1 0 .01 0",
  medium: "M9 5.5a3.5 3.5 0 1 0 .01 0",
  large: "M9 2.5a6.5 6.5 0 1 0 .01 0",
  smaller: "M8 3a5 5 0 1 0 .01 0M11.5 11.5L16 16M5.5 8h5",
  larger: "M8 3a5 5 0 1 0 .01 0M11.5 11.5L16 16M5.5 8h5M8 5.5v5",
  whole: "M2 6V2h4M12 2h4v4M16 12v4h-4M6 16H2v-4",
  hand: "M9 1v16M1 9h16M9 1L7 3M9 1l2 2M9 17l-2-2M9 17l2-2M1 9l2-2M1 9l2 2M17 9l-2-2M17 9l-2 2",
  invert: "M9 2a7 7 0 1 0 0 14zM9 2a7 7 0 0 1 0 14",
  grow: "M6 6h6v6H6zM9 4V1M9 17v-3M4 9H1M17 9h-3",
  clear: "M4 4l10 10M14 4L4 14",
  undo: "M7 4L3 8l4 4M3 8h7a4 4 0 0 1 0 8H8",
  redo: "M11 4l4 4-4 4M15 8H8a4 4 0 0 0 0 8h2",
};

export default function (component) {
  const root = component.parentElement.querySelector(".canvas");
  root.board ??= new Board(root);
  root.board.update(component.data, component.setTriggerValue);
}

class Board {
  constructor(root) {
    this.root = root;
    this.tool = this.before = "brush"; // the one in hand, and the one before the hand
    this.size = "small";
    this.marks = new Set();
    this.drag = null;
    this.sent = null;
    this.focus = 0;
    this.bar = add(root, "div", "bar");
    this.board = add(root, "div", "board");
    this.sheet = add(this.board, "div", "sheet");
    this.image = add(this.sheet, "img");
    this.image.draggable = false;
    this.cells = add(this.sheet, "div", "cells");
    this.buildTrail();
    const changed = () => this.data && this.setBar();
    this.view = new Viewport(this.board, this.sheet, changed, () => Boolean(this.data?.src));
    this.empty = add(this.board, "div", "empty");
    this.legend = add(root, "div", "legend");
    this.note = add(root, "div", "note");
    // Said aloud: the note, but of a picture at work, whose note changes all the time, only that.
    this.aloud = add(root, "div", "aloud");
    this.aloud.setAttribute("aria-live", "polite");
    this.working = false;
    this.fingers = new Set();
    this.resting = null;
    this.cells.addEventListener("pointerdown", (event) => this.down(event));
    this.cells.addEventListener("pointermove", (event) => this.move(event));
    this.cells.addEventListener("pointerup", (event) => this.up(event));
    this.cells.addEventListener("pointercancel", (event) => this.lost(event));
    // While a finger marks, the page does not scroll under it.
    const still = (event) => this.drag && event.cancelable && event.preventDefault();
    this.cells.addEventListener("touchmove", still, { passive: false });
    this.cells.addEventListener("contextmenu", (event) => {
      if (this.resting || this.drag) event.preventDefault();
    });
    this.cells.addEventListener("pointerleave", () => {
      this.tell(null);
      this.drawTip(null);
    });
    this.takeFiles();
    this.cells.addEventListener("keydown", (event) => this.key(event));
    this.cells.addEventListener("focusin", (event) => {
      this.tell(this.number(event.target));
      if (event.target.matches(":focus-visible")) this.view.reveal(event.target);
    });
    this.anywhere = (event) => this.shortcut(event);
    document.addEventListener("keydown", this.anywhere);
    this.atFirst = (event) => this.handOn(event);
    document.addEventListener("keydown", this.atFirst, true);
  }

  update(data, send) {
    this.send = send;
    this.data = data;
    document.documentElement.lang = data.lang; // only scripts reach what Streamlit leaves in English
    if (this.refused !== data.refused) this.sent = null; // it is not going to know them
    this.refused = data.refused;
    this.takeMarks(data.marks);
    if (this.image.src !== data.src) this.image.src = data.src || "";
    if (!data.src) this.view.reset();
    this.image.hidden = !data.src;
    this.image.alt = data.text.picture;
    this.empty.hidden = Boolean(data.src);
    this.empty.textContent = data.text.empty;
    this.buildBar();
    this.setBar();
    if (this.rows !== data.rows || this.columns !== data.columns) this.buildCells();
    this.cells.classList.toggle("ready", data.editable);
    this.cells.classList.toggle("fixed", !data.editable);
    this.cells.classList.toggle("seen", data.seen);
    this.legend.hidden = !data.legend;
    if (data.legend) {
      this.legend.replaceChildren(data.legend.from, document.createElement("i"), data.legend.to);
      this.legend.querySelector("i").style.background = data.legend.colours;
    }
    this.paint();
    this.tell(null);
    this.announce();
  }

  announce() {
    const { working, note, text } = this.data;
    const ended = this.working && !working;
    this.working = working;
    if (ended) this.ended = text.ended;
    else if (working || this.noted !== note) this.ended = "";
    this.noted = note;
    const said = working ? text.begun : [this.ended, note].filter(Boolean).join(" ");
    if (this.aloud.textContent !== said) this.aloud.textContent = said;
  }

  // A page that was on its way when marks were sent does not know them yet: it takes none back.
  takeMarks(marks) {
    const known = !this.sent || this.sent.marks === marks.join() || Date.now() > this.sent.until;
    if (known) this.sent = null;
    if (known && !this.drag) this.marks = new Set(marks);
  }

  // The toolbar

  // Built once and again only in another language: a button that a finger is on stays what it is.
  buildBar() {
    const { text } = this.data;
    if (this.barText === text.mode) return;
    this.barText = text.mode;
    this.bar.replaceChildren();
    const modes = this.set("radiogroup", text.mode);
    for (const name of ["change", "keep"]) {
      const button = this.button(modes, name, text[name], () => this.act(name));
      button.setAttribute("role", "radio");
      button.textContent = text[name];
    }
    modes.addEventListener("keydown", (event) => this.choose(event, modes));
    const tools = this.set("group", text.tools);
    for (const name of TOOLS) {
      this.button(tools, name, text[name], () => {
        this.tool = name;
        this.setBar();
      });
    }
    const sizes = this.set("group", text.size);
    for (const name of Object.keys(SIZES)) {
      this.button(sizes, name, text[name], () => {
        this.size = name;
        this.tool = "brush";
        this.setBar();
      });
    }
    const marks = this.set("group", text.marks);
    for (const name of ["invert", "grow", "clear"]) {
      this.button(marks, name, text[name], () => this.remark(name));
    }
    const views = this.set("group", text.view);
    for (const name of VIEWS) {
      this.button(views, name, text[name], () => this.look(name));
    }
    const times = this.set("group", text.undo);
    for (const name of ["undo", "redo"]) {
      this.button(times, name, text[name], () => this.act(name));
    }
  }

  setBar() {
    const { editable, keep, undo, redo } = this.data;
    const { enlarged } = this.view;
    if (!enlarged && this.tool === "hand") this.tool = this.before;
    const empty = { undo: !undo, redo: !redo };
    const seen = { smaller: enlarged, whole: enlarged, larger: this.data.src, hand: enlarged };
    this.board.classList.toggle("moving", this.tool === "hand");
    for (const button of this.bar.querySelectorAll("button")) {
      const name = button.dataset.name;
      if (name in seen) button.disabled = !seen[name];
      else button.disabled = name in empty ? empty[name] : !editable;
      if (name === "change" || name === "keep") {
        button.setAttribute("aria-checked", String((name === "keep") === keep));
        button.tabIndex = (name === "keep") === keep ? 0 : -1; // arrows lead to the other
      } else if (TOOLS.includes(name) || name === "hand") {
        button.setAttribute("aria-pressed", String(this.tool === name));
      } else if (name in SIZES) {
        const chosen = this.tool === "brush" && this.size === name;
        button.setAttribute("aria-pressed", String(chosen));
      }
    }
  }

  // Of radio buttons, arrow keys choose the next one.
  choose(event, modes) {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = [...modes.querySelectorAll("button:not(:disabled)")];
    const at = all.indexOf(event.target);
    if (at < 0) return;
    const next = all[(at + by + all.length) % all.length];
    next.focus();
    next.click();
    event.preventDefault();
    event.stopPropagation();
  }

  look(name) {
    if (name === "hand") {
      [this.tool, this.before] = [this.tool === "hand" ? this.before : "hand", this.tool];
    }
    if (name === "whole") this.view.reset();
    if (name === "larger") this.view.enlarge(ZOOM_STEP);
    if (name === "smaller") this.view.enlarge(1 / ZOOM_STEP);
    this.setBar();
  }

  set(role, label) {
    const set = add(this.bar, "div", "set");
    set.setAttribute("role", role);
    set.setAttribute("aria-label", label);
    return set;
  }

  button(parent, name, label, act) {
    const button = add(parent, "button");
    button.type = "button";
    button.dataset.name = name;
    button.title = label;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", act);
    if (ICONS[name]) {
      button.innerHTML = `<svg viewBox="0 0 18 18" aria-hidden="true"><path d="${ICONS[name]}"/></svg>`;
    }
    return button;
  }

  // The blocks

  buildCells() {
    this.rows = this.data.rows;
    this.columns = this.data.columns;
    this.cells.style.gridTemplate = `repeat(${this.rows}, 1fr) / repeat(${this.columns}, 1fr)`;
    this.board.style.setProperty("--shape", this.columns / this.rows);
    this.trail.setAttribute("viewBox", `0 0 ${this.columns} ${this.rows}`);
    this.cells.setAttribute("role", "group");
    this.cells.setAttribute("aria-label", this.data.text.blocks);
    this.cells.replaceChildren();
    this.drag = this.sent = null; // of other blocks
    this.marks = new Set(this.data.marks);
    this.focus = 0;
    for (let number = 0; number < this.rows * this.columns; number++) {
      const cell = add(this.cells, "div", "cell");
      cell.dataset.number = number;
      cell.setAttribute("role", "checkbox");
      cell.tabIndex = number === 0 ? 0 : -1;
    }
  }

  paint() {
    this.drawTrail();
    const { colours, labels, text } = this.data;
    for (const [number, cell] of [...this.cells.children].entries()) {
      const marked = this.marks.has(number);
      cell.classList.toggle("change", this.changes(number));
      cell.style.setProperty("--edge", this.edge(number));
      cell.setAttribute("aria-checked", String(marked));
      cell.setAttribute("aria-label", labels?.[number] ?? `${text.block} ${number}`);
      cell.style.setProperty("--tint", colours?.[number] ?? "none");
    }
  }

  changes(number) {
    return this.marks.size > 0 && this.marks.has(number) !== this.data.keep;
  }

  // A line where blocks to change meet others; the edge of the picture needs none.
  edge(number) {
    if (!this.changes(number)) return "none";
    const [row, column] = [Math.floor(number / this.columns), number % this.columns];
    const sides = [
      [row > 0, number - this.columns, 0, 1],
      [column < this.columns - 1, number + 1, -1, 0],
      [row < this.rows - 1, number + this.columns, 0, -1],
      [column > 0, number - 1, 1, 0],
    ].filter(([inside, next]) => inside && !this.changes(next));
    const lines = (width, colour) =>
      sides.map(([, , x, y]) => `inset ${x * width}px ${y * width}px 0 ${colour}`);
    return [...lines(2, "var(--accent)"), ...lines(3, "#fffc")].join() || "none";
  }

  tell(number) {
    const said = number === null ? null : this.data.labels?.[number];
    const note = said ?? this.data.note;
    if (this.note.textContent !== note) this.note.textContent = note;
  }

  number(cell) {
    return cell?.dataset?.number === undefined ? null : Number(cell.dataset.number);
  }

  // Where a pointer is, in blocks: [down, across].
  spot(event) {
    const box = this.cells.getBoundingClientRect();
    const [down, across] = [event.clientY - box.top, event.clientX - box.left];
    return [(down / box.height) * this.rows, (across / box.width) * this.columns];
  }

  at(event) {
    const box = this.cells.getBoundingClientRect();
    const place = (value, size, count) =>
      Math.min(count - 1, Math.max(0, Math.floor((value / size) * count)));
    return [
      place(event.clientY - box.top, box.height, this.rows),
      place(event.clientX - box.left, box.width, this.columns),
    ];
  }

  // Dragging

  down(event) {
    const moves = this.tool === "hand" ? event.button === 0 : event.button === 1;
    if (this.view.enlarged && moves) {
      event.preventDefault();
      this.cells.setPointerCapture(event.pointerId);
      this.view.hold(event);
      return;
    }
    const touch = event.pointerType === "touch";
    if (touch && this.view.enlarged && !this.data.editable) {
      this.view.hold(event);
      return;
    }
    if (!this.data.editable || event.button !== 0) return;
    if (touch) {
      this.touch(event);
      return;
    }
    event.preventDefault();
    this.begin(event);
  }

  begin(event, lifted = false) {
    const start = this.at(event);
    const number = start[0] * this.columns + start[1];
    if (!lifted) this.cells.setPointerCapture(event.pointerId);
    this.cells.children[number].focus({ preventScroll: true });
    this.setFocus(number);
    const path = [this.spot(event)];
    const before = new Set(this.marks);
    this.drag = { start, last: start, before, on: !before.has(number), path };
    this.apply(start);
  }

  // A finger that moves at once scrolls the page, or an enlarged picture; two zoom the page. Neither
  // marks. A tap marks a block, and a finger that has rested marks as it moves.
  touch(event) {
    this.fingers.add(event.pointerId);
    this.rest(null);
    if (this.fingers.size > 1) {
      this.view.release();
      this.cancel();
      return;
    }
    const hold = () => {
      this.rest(null);
      this.begin(event);
    };
    this.rest({ event, timer: setTimeout(hold, HOLD) });
  }

  rest(resting) {
    if (this.resting) clearTimeout(this.resting.timer);
    this.resting = resting;
  }

  move(event) {
    if (this.resting) {
      const { clientX, clientY } = this.resting.event;
      const moved = Math.hypot(event.clientX - clientX, event.clientY - clientY);
      if (moved > SLOP) {
        this.rest(null);
        if (this.view.enlarged) this.view.hold(event);
      }
    }
    const here = this.at(event);
    this.tell(here[0] * this.columns + here[1]);
    this.drawTip(event.pointerType === "touch" ? null : this.spot(event));
    if (!this.drag) return;
    this.drag.path.push(this.spot(event));
    this.apply(here);
  }

  apply(here) {
    const { start, last, before, on } = this.drag;
    const touched = this.touched(start, last, here);
    if (this.tool !== "brush") this.marks = new Set(before);
    for (const [row, column] of touched) {
      const number = row * this.columns + column;
      if (on) this.marks.add(number);
      else this.marks.delete(number);
    }
    this.drag.last = here;
    this.paint();
  }

  touched(start, last, here) {
    const path = this.drag.path ?? [];
    if (this.tool === "lasso" && path.length > 2) return this.blocks((spot) => within(spot, path));
    if (this.tool === "brush" && path.length && SIZES[this.size]) {
      const [from, to] = [path.at(-2) ?? path.at(-1), path.at(-1)];
      return this.blocks((spot) => nearer(spot, from, to, SIZES[this.size]));
    }
    if (this.tool === "brush" || this.tool === "lasso") return line(last, here);
    const [top, bottom] = [Math.min(start[0], here[0]), Math.max(start[0], here[0])];
    const [left, right] = [Math.min(start[1], here[1]), Math.max(start[1], here[1])];
    const rows = this.tool === "column" ? [0, this.rows - 1] : [top, bottom];
    const columns = this.tool === "row" ? [0, this.columns - 1] : [left, right];
    const cells = [];
    for (let row = rows[0]; row <= rows[1]; row++) {
      for (let column = columns[0]; column <= columns[1]; column++) cells.push([row, column]);
    }
    return cells;
  }

  // The blocks for whose middle something is true.
  blocks(isSo) {
    const found = [];
    for (let row = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++) {
        if (isSo([row + 0.5, column + 0.5])) found.push([row, column]);
      }
    }
    return found;
  }

  // The way that was drawn, and the tip of the brush, in blocks

  buildTrail() {
    this.trail = document.createElementNS(SVG, "svg");
    this.trail.setAttribute("class", "trail");
    this.trail.setAttribute("preserveAspectRatio", "none");
    this.trail.setAttribute("aria-hidden", "true");
    this.way = this.trail.appendChild(document.createElementNS(SVG, "polygon"));
    this.tip = this.trail.appendChild(document.createElementNS(SVG, "circle"));
    this.sheet.append(this.trail);
  }

  drawTrail() {
    const drawn = this.drag && this.tool === "lasso" ? this.drag.path : [];
    this.way.setAttribute("points", drawn.map(([y, x]) => `${x},${y}`).join(" "));
  }

  drawTip(spot) {
    const size = this.tool === "brush" && this.data.editable ? SIZES[this.size] : 0;
    this.tip.setAttribute("r", spot ? size : 0);
    if (spot) {
      this.tip.setAttribute("cx", spot[1]);
      this.tip.setAttribute("cy", spot[0]);
    }
  }

  // Pictures that are dropped on the canvas, or pasted anywhere but into text

  takeFiles() {
    const carries = (event) => event.dataTransfer?.types?.includes("Files");
    const over = (is) => this.board.classList.toggle("over", is);
    this.board.addEventListener("dragover", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      over(true);
    });
    this.board.addEventListener("dragleave", () => over(false));
    this.board.addEventListener("drop", (event) => {
      over(false);
      if (!carries(event)) return;
      event.preventDefault();
      this.give(event.dataTransfer.files[0]);
    });
    this.pasted = (event) => {
      if (!this.root.isConnected) document.removeEventListener("paste", this.pasted);
      else if (!writes(event.composedPath()[0])) this.give(event.clipboardData?.files[0]);
    };
    document.addEventListener("paste", this.pasted);
  }

  give(file) {
    if (!file) return;
    const name = file.name || "picture";
    if (file.size > MOST_BYTES) {
      this.send("file", { name, size: file.size });
      return;
    }
    const reader = new FileReader();
    reader.onload = () => this.send("file", { name, data: reader.result.split(",")[1] ?? "" });
    reader.readAsDataURL(file);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    if (this.resting) {
      const tapped = this.resting.event;
      this.rest(null);
      this.begin(tapped, true);
    }
    this.finish();
  }

  finish() {
    if (!this.drag) return;
    this.drag = null;
    this.commit();
  }

  lost(event) {
    this.fingers.delete(event.pointerId);
    this.rest(null);
    this.cancel();
  }

  cancel() {
    if (!this.drag) return;
    this.marks = this.drag.before;
    this.drag = null;
    this.paint();
  }

  commit() {
    this.paint();
    const marks = [...this.marks].sort((a, b) => a - b);
    this.sent = { marks: marks.join(), until: Date.now() + PATIENCE };
    this.send("marks", marks);
  }

  // Marked at once, so that a drag that follows goes on from there.
  remark(name) {
    const all = [...this.cells.children].keys();
    if (name === "clear") this.marks = new Set();
    if (name === "invert") this.marks = new Set([...all].filter((one) => !this.marks.has(one)));
    if (name === "grow") this.marks = new Set([...all].filter((one) => this.touches(one)));
    this.commit();
  }

  // Whether a block is marked, or one beside it, by a side or a corner.
  touches(number) {
    const [row, column] = [Math.floor(number / this.columns), number % this.columns];
    return [...this.marks].some((one) => {
      const [down, across] = [Math.floor(one / this.columns), one % this.columns];
      return Math.abs(down - row) <= 1 && Math.abs(across - column) <= 1;
    });
  }

  act(name) {
    this.sent = null;
    this.send("action", name);
  }

  // The keyboard: arrows move, space or enter marks, escape gives up a drag

  key(event) {
    const steps = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return; // shortcuts are the page's
    if (event.key in steps) {
      const [row, column] = [Math.floor(this.focus / this.columns), this.focus % this.columns];
      const inside = (value, count) => Math.min(count - 1, Math.max(0, value));
      const [down, right] = steps[event.key];
      const to = [inside(row + down, this.rows), inside(column + right, this.columns)];
      this.setFocus(to[0] * this.columns + to[1]);
      this.cells.children[this.focus].focus({ preventScroll: this.view.enlarged });
      this.view.reveal(this.cells.children[this.focus]);
    } else if (this.data.editable && (event.key === " " || event.key === "Enter")) {
      const start = [Math.floor(this.focus / this.columns), this.focus % this.columns];
      const on = !this.marks.has(this.focus);
      this.drag = { start, last: start, before: new Set(this.marks), on };
      this.apply(start);
      this.finish();
    } else if (["+", "=", "-", "0"].includes(event.key) && this.data.src) {
      this.look({ "-": "smaller", 0: "whole" }[event.key] ?? "larger");
      this.view.reveal(this.cells.children[this.focus]);
    } else if (event.key === "Escape") {
      this.cancel();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  // Ctrl+Z and Ctrl+Shift+Z from anywhere but text fields, which undo by themselves.
  shortcut(event) {
    if (!this.root.isConnected) {
      document.removeEventListener("keydown", this.anywhere);
      return;
    }
    const undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    if (!undo || writes(event.composedPath()[0])) return;
    event.preventDefault();
    const name = event.shiftKey ? "redo" : "undo";
    if (this.data[name]) this.act(name);
  }

  // Ctrl+Enter generates. Streamlit's own choices, such as that of the language, take every Enter
  // for themselves while they have the focus: it is handed on past them.
  handOn(event) {
    if (!this.root.isConnected) {
      document.removeEventListener("keydown", this.atFirst, true);
      return;
    }
    const generates = (event.ctrlKey || event.metaKey) && event.key === "Enter";
    if (!generates || !event.target.matches("[data-react-aria-pressable]")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    document.body.dispatchEvent(new KeyboardEvent(event.type, event));
  }

  setFocus(number) {
    this.cells.children[this.focus].tabIndex = -1;
    this.focus = number;
    this.cells.children[number].tabIndex = 0;
  }
}

// Every block that a straight stroke touches: fast drags skip none.
function line([row, column], [toRow, toColumn]) {
  const steps = Math.max(Math.abs(toRow - row), Math.abs(toColumn - column), 1);
  return Array.from({ length: steps + 1 }, (_, n) => [
    Math.round(row + ((toRow - row) * n) / steps),
    Math.round(column + ((toColumn - column) * n) / steps),
  ]);
}

// Whether a block's middle is nearer to a stroke than the brush is wide.
function nearer([y, x], [y0, x0], [y1, x1], radius) {
  const length = (y1 - y0) ** 2 + (x1 - x0) ** 2;
  const along = length ? ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / length : 0;
  const at = Math.min(1, Math.max(0, along));
  return Math.hypot(y - y0 - at * (y1 - y0), x - x0 - at * (x1 - x0)) <= radius;
}

// Whether a block's middle is inside what was drawn around.
function within([y, x], path) {
  let inside = false;
  for (const [n, [y0, x0]] of path.entries()) {
    const [y1, x1] = path[(n + 1) % path.length];
    if (y0 > y !== y1 > y && x < ((x1 - x0) * (y - y0)) / (y1 - y0) + x0) inside = !inside;
  }
  return inside;
}

// Whether an element takes text.
function writes(element) {
  const others = ["range", "checkbox", "radio", "button", "submit", "file"];
  if (element instanceof HTMLInputElement) return !others.includes(element.type);
  return element instanceof HTMLTextAreaElement || element?.isContentEditable === true;
}

function add(parent, tag, name = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  parent.append(element);
  return element;
}
