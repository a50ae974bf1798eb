// The questions: a search, filters, and a list of which only what is seen is in the page.

import { byId, el, say, select } from "./dom.js";
import { count, plural } from "./format.js";
import { counts, selected } from "./filters.js";
import { experimentNumber, index, summary } from "./store.js";
import { address, replace } from "./state.js";

const SIGNS = { r: ["✓", "right"], w: ["✗", "wrong"], u: ["?", "unparsable"], t: ["…", "truncated"], e: ["!", "error"], m: ["∅", "missing"], "-": ["–", "not scored"] };
const BEYOND = 6; // rows above and below what is seen

let shown = null; // what the list shows now: columns, state, places

// A symbol that is read out by its name.
function spokenSign(sign, look, name) {
  return el("span", { class: `sign ${look}`, title: name, role: "img", "aria-label": name }, sign);
}

function answeredSign(letter) {
  const [sign, name] = SIGNS[letter];
  return spokenSign(sign, name, name);
}

export async function renderQuestions(section, state) {
  const columns = await index();
  const list = el("div", { class: "list", role: "list", tabindex: "0", "aria-label": "Questions" }, el("div", { class: "spacer" }));
  list.addEventListener("scroll", () => draw(list), { passive: true });
  list.addEventListener("keydown", (event) => step(event, list));
  section.replaceChildren(tools(columns, state, list), el("p", { class: "note", id: "found" }), headings(), list);
  update(columns, state, list);
  if (state.at) scrollTo(list, Number(state.at));
}

function headings() {
  const names = ["number", "signs", "text", "gold", "answer"];
  const words = ["#", "experiments", "question", "gold answer", "answer"];
  return el("div", { class: "row headings", "aria-hidden": "true" }, names.map((name, i) => el("span", { class: name }, words[i])));
}

function tools(columns, state, list) {
  const change = (key, value) => {
    const now = { ...shown.state, at: undefined, [key]: value };
    replace(now);
    update(columns, now, list);
  };
  const search = el("input", { type: "search", id: "search", value: state.s ?? "", placeholder: "Search questions and answers", "aria-label": "Search questions and answers", input: (event) => change("s", event.target.value) });
  const names = summary.experiments.map(({ name }) => [name, name]);
  const anyOf = (values, words) => [["", words], ...values.map((value) => [value, value])];
  const lists = [["t", columns.type.names, "Type"], ["l", columns.level.names, "Level"]].filter(([, values]) => values.length);
  return el(
    "div",
    { class: "tools" },
    el(
      "div",
      { class: "choice" },
      search,
      select("in", names, names[experimentNumber(state.e)][0], (value) => change("e", value)),
      lists.map(([key, values, name]) => select(name, anyOf(values, "any"), state[key] ?? "", (value) => change(key, value))),
    ),
    el("div", { class: "chips", role: "group", "aria-label": "Filters", id: "chips", click: (event) => event.target.closest("button") && change("f", event.target.closest("button").dataset.filter) }),
  );
}

// Filter anew and show the result. Everything that a change of a filter does is done when this returns.
function update(columns, state, list) {
  const { places, special } = selected(columns, state);
  const rows = list.firstElementChild;
  shown = { columns, state, places };
  const chips = counts(columns, state).map(([f, name, number]) => chip(f, name, number, (state.f ?? "") === f));
  if (special) chips.push(el("button", { type: "button", "data-filter": "", "aria-pressed": "true", "aria-label": `${special.name}, remove this filter` }, `${special.name} ✕`));
  byId("chips").replaceChildren(...chips);
  byId("found").textContent = `${count(places.length)} of ${plural(columns.id.length, "question")}${special?.pair ? ` · A: ${state.a}, B: ${state.b}` : ""}`;
  list.scrollTop = 0;
  rows.replaceChildren();
  if (!places.length) rows.append(el("p", { class: "empty" }, "No question is like this. Take a filter or a word of the search away."));
  draw(list);
  say(byId("found").textContent);
}

function chip(f, name, number, pressed) {
  return el("button", { type: "button", "data-filter": f, "aria-pressed": String(pressed) }, name, el("small", {}, count(number)));
}

const rowHeight = () => (matchMedia("(max-width: 48rem)").matches ? 84 : 48);

// Put the rows into the page that are seen, and a few beyond; take the others out.
function draw(list) {
  const rows = list.firstElementChild;
  const height = rowHeight();
  rows.style.height = `${shown.places.length * height}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / height) - BEYOND);
  const last = Math.min(shown.places.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + BEYOND);
  const there = new Map([...rows.querySelectorAll(".item")].map((item) => [Number(item.dataset.order), item]));
  for (const [order, item] of there) if (order < first || order >= last) item.remove();
  for (let order = first; order < last; order += 1) if (!there.has(order)) rows.append(item(order));
  for (const row of rows.querySelectorAll(".item")) row.firstElementChild.style.top = `${Number(row.dataset.order) * height}px`;
}

// After the window has changed, rows may have another height: the first one seen stays where it is.
export function redraw() {
  const list = document.querySelector("#questions .list");
  if (!list) return;
  const first = list.scrollTop / (list.firstElementChild.offsetHeight / shown.places.length);
  draw(list);
  list.scrollTop = first * rowHeight() || 0;
  draw(list);
}

// Before it leads on, a row leaves its place in the address, to which one may go back.
function item(order) {
  const { columns, state, places } = shown;
  const i = places[order];
  const own = columns.experiments[experimentNumber(state.e)];
  const link = el(
    "a",
    { class: "row", href: address({ ...state, v: undefined, at: undefined, q: columns.id[i], e: summary.experiments[experimentNumber(state.e)].name }), click: () => replace({ ...state, at: order }) },
    el("span", { class: "number" }, count(i + 1)),
    el("span", { class: "signs" }, columns.experiments.map((experiment, n) => signOf(experiment, i, n))),
    el("span", { class: "text" }, columns.text[i]),
    el("span", { class: "gold" }, columns.gold[i] ?? ""),
    el("span", { class: "answer" }, own.answer[i] || "–"),
  );
  return el("div", { class: "item", role: "listitem", "data-order": order, "aria-setsize": places.length, "aria-posinset": order + 1 }, link);
}

// What became of question i: a near miss is told from what is just wrong.
export function signFor(experiment, i) {
  return experiment.near[i] === "-" ? answeredSign(experiment.answered[i]) : spokenSign("≈", "wrong", "wrong, but a near miss");
}

function signOf(experiment, i, n) {
  const made = signFor(experiment, i);
  made.title = `${summary.experiments[n].name}: ${made.title}`;
  made.setAttribute("aria-label", made.title);
  return made;
}

// Arrow keys go from row to row; the list follows.
function step(event, list) {
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
  if (!by || !shown.places.length) return;
  event.preventDefault();
  const now = document.activeElement?.closest(".item");
  const order = Math.max(0, Math.min(shown.places.length - 1, now ? Number(now.dataset.order) + by : Math.ceil(list.scrollTop / rowHeight())));
  scrollTo(list, order);
  list.querySelector(`[data-order="${order}"] a`)?.focus({ preventScroll: true });
}

function scrollTo(list, order) {
  const height = rowHeight();
  if (order * height < list.scrollTop) list.scrollTop = order * height;
  if ((order + 1) * height > list.scrollTop + list.clientHeight) list.scrollTop = (order + 1) * height - list.clientHeight;
  draw(list);
}
