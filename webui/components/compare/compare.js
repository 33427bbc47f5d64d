// Two pictures under one slider, or under the pointer; nothing is sent.

export default function (component) {
  const root = component.parentElement.querySelector(".compare");
  const { left, right, text } = component.data;
  const [one, two] = root.querySelectorAll("img");
  const [first, second] = root.querySelectorAll("span");
  const slider = root.querySelector("input");
  const board = root.querySelector(".board");
  two.onload = () => board.style.setProperty("--shape", two.naturalWidth / two.naturalHeight);
  one.src = left.src;
  one.alt = first.textContent = left.name;
  two.src = right.src;
  two.alt = second.textContent = right.name;
  slider.setAttribute("aria-label", text.slider);
  const cut = () => {
    two.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    root.querySelector(".line").style.left = `${slider.value}%`;
  };
  slider.oninput = cut;
  const follow = (event) => {
    if (event.type === "pointerdown") board.setPointerCapture(event.pointerId);
    if (!event.buttons) return;
    const box = board.getBoundingClientRect();
    slider.value = ((event.clientX - box.left) / box.width) * 100;
    cut();
  };
  board.onpointerdown = board.onpointermove = follow;
  cut();
}
