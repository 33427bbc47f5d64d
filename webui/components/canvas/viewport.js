// Which part of the picture is seen, and how much larger. The sheet with the picture and its blocks
// grows beyond the board and is moved behind it; what reads places from the sheet needs no change.

const MOST_ZOOM = 8;
const ZOOM_STEP = 1.5;
const HARDLY = 1.02; // larger: the whole picture, or a pinch would leave a trace

class Viewport {
  // `changed` is told of every change, `ready` says whether there is something to enlarge.
  constructor(board, sheet, changed, ready) {
    this.board = board;
    this.sheet = sheet;
    this.changed = changed;
    this.ready = ready;
    this.grip = null;
    this.reset();
    board.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    board.addEventListener("pointermove", (event) => this.pull(event));
    for (const name of ["pointerup", "pointercancel"]) {
      board.addEventListener(name, (event) => this.release(event));
    }
  }

  get enlarged() {
    return this.zoom > 1;
  }

  reset() {
    this.zoom = 1;
    this.left = this.top = 0; // of what is seen, in shares of the sheet
    this.place();
  }

  // Larger or smaller by a factor, about a point of the board in shares of its sides.
  enlarge(factor, [across, down] = [0.5, 0.5]) {
    let zoom = Math.min(MOST_ZOOM, this.zoom * factor);
    if (zoom < HARDLY) zoom = 1;
    this.left += across / this.zoom - across / zoom;
    this.top += down / this.zoom - down / zoom;
    this.zoom = zoom;
    this.place();
  }

  // Look further to the right and further down, in pixels. Whether that was possible.
  move(right, down) {
    const before = [this.left, this.top].join();
    const box = this.sheet.getBoundingClientRect();
    this.left += right / box.width;
    this.top += down / box.height;
    this.place();
    return [this.left, this.top].join() !== before;
  }

  // Bring an element of the sheet into sight.
  reveal(element) {
    const [seen, own] = [this.board, element].map((one) => one.getBoundingClientRect());
    const beyond = (low, high, least, most) => Math.min(0, low - least) || Math.max(0, high - most);
    this.move(
      beyond(own.left, own.right, seen.left, seen.right),
      beyond(own.top, own.bottom, seen.top, seen.bottom),
    );
  }

  place() {
    const inside = (value) => Math.min(1 - 1 / this.zoom, Math.max(0, value));
    [this.left, this.top] = [inside(this.left), inside(this.top)];
    const { style } = this.sheet;
    style.width = style.height = `${100 * this.zoom}%`;
    style.left = `${-100 * this.zoom * this.left}%`;
    style.top = `${-100 * this.zoom * this.top}%`;
    this.board.classList.toggle("enlarged", this.enlarged);
    this.changed();
  }

  // The wheel with Ctrl, or a pinch on a touchpad, enlarges; alone it moves until there is an end.
  wheel(event) {
    if (!this.ready()) return;
    if (event.ctrlKey || event.metaKey) {
      const box = this.board.getBoundingClientRect();
      const at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.enlarge(Math.exp(-event.deltaY / 300), at);
      event.preventDefault();
    } else if (this.enlarged && this.move(event.deltaX, event.deltaY)) {
      event.preventDefault();
    }
  }

  hold(event) {
    this.grip = { id: event.pointerId, x: event.clientX, y: event.clientY };
  }

  pull(event) {
    if (this.grip?.id !== event.pointerId) return;
    this.move(this.grip.x - event.clientX, this.grip.y - event.clientY);
    this.hold(event);
  }

  release(event) {
    if (!event || this.grip?.id === event.pointerId) this.grip = null;
  }
}
