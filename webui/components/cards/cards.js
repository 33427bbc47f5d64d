// Sessions to open, each with its picture, name and date. A name is changed in its place; what is
// done to a session is sent as {act, id, name}.

const ICONS = {
  rename: "M3 15l1-4 8-8 3 3-8 8zM10.5 4.5l3 3",
  duplicate: "M6 6h9v9H6zM3 12V3h9",
  delete: "M4 5h10M7 5V3h4v2M5 5l1 10h6l1-10",
  restore: "M4 8a6 6 0 1 1 1 5M4 3v5h5",
};

export default function (component) {
  const root = component.parentElement.querySelector(".cards");
  const state = JSON.stringify(component.data);
  root.send = component.setTriggerValue;
  if (state === root.state) return;
  root.state = state;
  const { items, text, lang } = component.data;
  document.documentElement.lang = lang; // only scripts reach what Streamlit leaves in English
  const focused = component.parentElement.activeElement?.dataset?.focus;
  const before = [...root.children].map((box) => box.dataset.id);
  root.replaceChildren(...items.map((item) => card(root, item, text)));
  if (focused) focus(root, focused, before);
}

// The button that had the keyboard has it again; where its card is gone, that of the next card.
function focus(root, focused, before) {
  const [act, id] = focused.split("-");
  const place = before.indexOf(id);
  const near = [...before.slice(place), ...before.slice(0, place).reverse()];
  const buttons = near.map((one) => root.querySelector(`[data-focus="${act}-${one}"]`));
  (buttons.find(Boolean) ?? root.querySelector("a"))?.focus();
}

function card(root, item, text) {
  const box = make("div", `card ${item.look || ""}`);
  box.dataset.id = item.id;
  box.setAttribute("role", "listitem");
  const face = make("div", "face", item.src ? "" : item.look === "new" ? "+" : "");
  if (item.src) {
    const image = face.appendChild(make("img"));
    image.src = item.src;
    image.alt = "";
  }
  const name = make("div", item.name ? "name" : "name none", item.name || text.unnamed);
  const open = make(item.href ? "a" : "div");
  if (item.href) open.href = item.href;
  open.append(face, name);
  box.append(open);
  if (item.about) box.append(make("div", "about", item.about));
  if (item.acts?.length) {
    const row = box.appendChild(make("div", "do"));
    for (const act of item.acts) row.append(button(root, box, item, act, text));
  }
  return box;
}

function button(root, box, item, act, text) {
  const one = make("button");
  one.type = "button";
  one.dataset.act = act;
  one.dataset.focus = `${act}-${item.id}`;
  one.title = text[act];
  one.setAttribute("aria-label", `${text[act]}: ${item.name || text.unnamed}`);
  one.innerHTML = `<svg viewBox="0 0 18 18" aria-hidden="true"><path d="${ICONS[act]}"/></svg>`;
  one.addEventListener("click", () => {
    if (act === "rename") rename(root, box, item, text, one);
    else root.send("act", { act, id: item.id });
  });
  return one;
}

// Enter and leaving the field keep the name, Escape keeps the old one. Keys lead back to the button.
function rename(root, box, item, text, opener) {
  if (box.querySelector("input")) return;
  const field = make("input");
  field.value = item.name;
  field.maxLength = 80;
  field.setAttribute("aria-label", text.rename);
  const old = box.querySelector(".name");
  old.hidden = true;
  box.querySelector("a, div").after(field);
  let over = false;
  const end = (keep) => {
    if (over) return;
    over = true;
    field.remove();
    old.hidden = false;
    if (!keep || field.value === item.name) return;
    old.textContent = field.value || text.unnamed;
    root.send("act", { act: "rename", id: item.id, name: field.value });
  };
  field.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.isComposing || event.keyCode === 229) return; // the key chooses among characters
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault(); // Enter would press the button that is focused next
    end(event.key === "Enter");
    opener.focus();
  });
  field.addEventListener("blur", () => end(true));
  field.focus();
  field.select();
}

function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name.trim()) element.className = name;
  if (text) element.textContent = text;
  return element;
}
