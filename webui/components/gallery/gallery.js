// Small pictures to choose from, each with a star. A click sends the picture's id.

export default function (component) {
  const root = component.parentElement.querySelector(".gallery");
  const { items, text } = component.data;
  const state = JSON.stringify(component.data);
  root.send = component.setTriggerValue;
  if (state === root.state) return;
  root.state = state;
  const focused = component.parentElement.activeElement?.dataset?.focus;
  root.replaceChildren(...items.map((item) => figure(root, item, text)));
  if (focused) root.querySelector(`[data-focus="${focused}"]`)?.focus();
}

function figure(root, item, text) {
  const box = document.createElement("div");
  box.className = ["item", item.shown && "shown", item.stopped && "stopped"].filter(Boolean).join(" ");
  box.setAttribute("role", "listitem");
  const pick = document.createElement("button");
  pick.className = "pick";
  pick.dataset.focus = `pick-${item.id}`;
  pick.setAttribute("aria-label", `${text.pick} ${item.id}: ${item.caption}`);
  pick.setAttribute("aria-pressed", String(item.shown));
  pick.title = item.title || "";
  pick.addEventListener("click", () => root.send("pick", item.id));
  const image = document.createElement("img");
  image.src = item.src;
  image.alt = item.title || item.id;
  const caption = document.createElement("span");
  caption.className = "caption";
  caption.textContent = item.caption;
  pick.append(image, caption);
  box.append(pick);
  if (item.star !== undefined) {
    const star = document.createElement("button");
    star.className = "star";
    star.dataset.focus = `star-${item.id}`;
    star.textContent = item.star ? "★" : "☆";
    star.title = text.star;
    star.setAttribute("aria-label", `${text.star} ${item.id}`);
    star.setAttribute("aria-pressed", String(item.star));
    star.addEventListener("click", () => root.send("star", item.id));
    box.append(star);
  }
  return box;
}
