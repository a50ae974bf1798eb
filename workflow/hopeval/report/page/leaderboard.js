// The leaderboard is in the page already; here it learns to be sorted, and headings to explain themselves.

import { byId, say } from "./dom.js";
import { current, replace } from "./state.js";

let asWritten = []; // the rows, the best first

export function makeSortable() {
  asWritten = [...document.querySelector(".board tbody").rows];
  for (const button of document.querySelectorAll(".board .sort")) button.addEventListener("click", () => clicked(button));
}

// The order that the address means: by the places, unless it names a column.
export function renderLeaderboard(_, state) {
  const [column, order] = (state.sort ?? "").split("-");
  const button = [...document.querySelectorAll(".board .sort")].find((one) => one.dataset.column === column);
  if (button && ["ascending", "descending"].includes(order)) sortBy(button, order);
  else sortBy(document.querySelector(".board .sort"), "ascending");
}

function clicked(button) {
  // Places and names begin with the first, numbers with the largest.
  const first = Number(button.dataset.column) < 2 ? "ascending" : "descending";
  const now = button.closest("th").getAttribute("aria-sort");
  const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
  sortBy(button, order);
  replace({ ...current(), sort: `${button.dataset.column}-${order}` });
  say(`Sorted by ${button.textContent}, ${order}`);
}

function sortBy(button, order) {
  const column = Number(button.dataset.column);
  for (const other of document.querySelectorAll(".board th[aria-sort]")) other.removeAttribute("aria-sort");
  button.closest("th").setAttribute("aria-sort", order);
  const rows = asWritten.map((row) => [row.cells[column].dataset.value, row]);
  rows.sort(([a], [b]) => compared(a, b, column === 1) * (order === "ascending" ? 1 : -1));
  // What is not known stays at the end in either order.
  const [known, unknown] = [rows.filter(([value]) => value !== ""), rows.filter(([value]) => value === "")];
  document.querySelector(".board tbody").append(...[...known, ...unknown].map(([, row]) => row));
}

const compared = (a, b, words) => (words ? a.localeCompare(b) : Number(a) - Number(b));

// What a heading means: shown while it is pointed at or focused, and read out with it.
export function explainHeadings() {
  const help = byId("help");
  const show = (event) => {
    const target = event.target.closest?.("[data-help]");
    if (!target) return;
    help.textContent = target.dataset.help;
    help.hidden = false;
    target.setAttribute("aria-describedby", "help");
    const at = target.getBoundingClientRect();
    const left = Math.min(at.left, document.documentElement.clientWidth - help.offsetWidth - 8);
    help.style.left = `${Math.max(8, left)}px`;
    help.style.top = `${at.bottom + 6}px`;
  };
  const hide = () => {
    help.hidden = true;
  };
  document.addEventListener("mouseover", show);
  document.addEventListener("focusin", show);
  document.addEventListener("mouseout", hide);
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
