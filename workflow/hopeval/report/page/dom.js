// Elements made of text: nothing here or elsewhere in the page reads text as markup.

const SVG = "http://www.w3.org/2000/svg";

// An element with attributes and children, which are elements or text. Attributes that are null or false
// are left out, functions are listeners.
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

// The words that a screen reader says of a change that one only sees.
export function say(words) {
  byId("spoken").textContent = words;
}

export function select(label, options, chosen, onChange) {
  const choices = options.map(([value, words]) => el("option", { value, selected: value === chosen }, words));
  return el("label", {}, el("span", {}, label), el("select", { change: (event) => onChange(event.target.value) }, choices));
}

// A table: the first cell of each row names it.
export function table(header, rows) {
  const heads = header.map((words) => el("th", { scope: "col" }, words));
  const body = rows.map(([first, ...cells]) =>
    el("tr", {}, el("th", { scope: "row" }, first), cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell)))),
  );
  const made = el("table", { class: "plain" }, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, body));
  // A table may be wider than a phone: who has no mouse scrolls it with the arrow keys.
  return el("div", { class: "scrolls", role: "group", tabindex: "0", "aria-label": `By ${header[0]}` }, made);
}
