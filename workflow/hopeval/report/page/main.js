// What the address says is shown; everything else follows from that.

import { byId, el } from "./dom.js";
import { summary } from "./store.js";
import { current } from "./state.js";
import { explainHeadings, makeSortable, renderLeaderboard } from "./leaderboard.js";
import { renderCompare } from "./compare.js";
import { renderFailures } from "./failures.js";
import { renderRunning } from "./running.js";
import { redraw, renderQuestions } from "./list.js";
import { renderQuestion, stepByKey } from "./question.js";

const RENDER = { leaderboard: renderLeaderboard, compare: renderCompare, failures: renderFailures, running: renderRunning, questions: renderQuestions, question: renderQuestion };
const THEMES = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };
const WORDS = { system: "as the system has them", light: "light", dark: "dark" };

let asked = 0; // how often the address has changed
let shown = Promise.resolve();

// One thing is shown after the other; what is not asked for any more by then is passed over.
function show(first) {
  asked += 1;
  const mine = asked;
  shown = shown.then(() => (mine === asked ? render(first) : null)).catch(failed);
}

// A part that cannot be shown says so, and does not keep the others from being shown.
function failed(error) {
  console.error(error);
  const words = `This cannot be shown: ${error.message}. The file may be damaged; write the report again. Other parts are here all the same.`;
  byId(current().v).querySelector(".fill")?.replaceChildren(el("p", { class: "lead" }, words));
  document.body.dataset.shown = location.hash;
}

async function render(first) {
  const address = location.hash;
  const state = current();
  const section = byId(state.v);
  for (const other of document.querySelectorAll("main > section")) other.hidden = other !== section;
  for (const link of document.querySelectorAll(".bar nav a")) link.removeAttribute("aria-current");
  const here = document.querySelector(`.bar nav [data-view=${state.v === "question" ? "questions" : state.v}]`);
  here.setAttribute("aria-current", "page");
  here.scrollIntoView({ block: "nearest", inline: "nearest" });
  await RENDER[state.v]?.(section.querySelector(".fill"), state);
  const heading = section.querySelector("h1");
  document.title = `${heading.textContent.slice(0, 80)} · ${summary.dataset} · hopeval`;
  document.body.dataset.shown = address;
  if (first) return;
  window.scrollTo(0, 0);
  heading.focus({ preventScroll: true });
}

function chooseTheme(theme) {
  const dark = theme === "dark" || (theme === "system" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.dataset.choice = theme;
  byId("theme").textContent = SIGNS[theme];
  byId("theme").setAttribute("aria-label", `Colours: ${WORDS[theme]}`);
}

// The choice is kept where the browser lets a page from disk keep anything.
function keptTheme() {
  try {
    const kept = localStorage.getItem("hopeval-theme");
    return THEMES.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}

function nextTheme() {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.choice) + 1) % THEMES.length];
  chooseTheme(theme);
  try {
    localStorage.setItem("hopeval-theme", theme);
  } catch {
    // It lasts until the page is closed.
  }
}

function copy(event) {
  const button = event.target.closest("[data-copies]");
  if (!button) return;
  const selection = getSelection();
  selection.selectAllChildren(byId(button.dataset.copies));
  document.execCommand("copy");
  selection.removeAllRanges();
  button.textContent = "Copied";
}

function pressed(event) {
  if (event.key === "/" && !event.target.closest("input, select, textarea") && byId("search") && !byId("questions").hidden) {
    event.preventDefault();
    byId("search").focus();
  } else if (!byId("question").hidden) stepByKey(event);
}

// The height of the bar, below which the tools of the list stay.
function measure() {
  document.documentElement.style.setProperty("--bar-height", `${document.querySelector(".bar").offsetHeight}px`);
}

let waiting = 0;

function resized() {
  measure();
  clearTimeout(waiting);
  waiting = setTimeout(() => ["failures", "running"].includes(current().v) && show(true), 150);
  if (current().v === "questions") redraw();
}

// The address is what is shown, so this link, unlike others, must not change it.
function skip(event) {
  event.preventDefault();
  byId("main").focus();
}

export function start() {
  chooseTheme(keptTheme());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chooseTheme(document.documentElement.dataset.choice));
  byId("theme").addEventListener("click", nextTheme);
  document.querySelector(".skip").addEventListener("click", skip);
  document.addEventListener("click", copy);
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", () => show(false));
  window.addEventListener("resize", resized);
  makeSortable();
  explainHeadings();
  measure();
  show(true);
}
