// Two pictures under one slider, or under the pointer; nothing is sent.

export default function (component) {
  const root = component.parentElement.querySelector(".compare");
  const { left, right, whole, text } = component.data;
  const [one, two] = root.querySelectorAll("img");
  const [first, second] = root.querySelectorAll("span");
  const slider = root.querySelector("input");
  const board = root.querySelector(".board");
  const sheet = root.querySelector(".sheet");
  two.onload = () => {
    sheet.style.setProperty("--shape", two.naturalWidth / two.naturalHeight);
    sheet.style.width = whole ? `${two.naturalWidth / devicePixelRatio}px` : "100%";
  };
  board.classList.toggle("whole", Boolean(whole));
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
    if (event.type === "pointerdown") sheet.setPointerCapture(event.pointerId);
    if (!event.buttons) return;
    const box = sheet.getBoundingClientRect();
    slider.value = ((event.clientX - box.left) / box.width) * 100;
    cut();
  };
  sheet.onpointerdown = sheet.onpointermove = follow;
  cut();
}
