// The passages of a question in rank order, with gold, cited and both marked on each sentence.

import { el } from "./dom.js";
import { plural } from "./format.js";

const LOST_SHOWN = 20;

const MARKS = { gold: ["★ gold", "is-gold"], cited: ["◆ cited", "is-cited"], both: ["★◆ gold, cited", "is-both"] };

export function markLegend() {
  return el("p", { class: "note" }, Object.values(MARKS).map(([words, look]) => el("span", { class: `mark ${look}` }, words)), "on sentences of the passages below");
}

// `ranked` are passages with their scores; the first `kept` of them were in the prompt.
// Gold passages go by id where the question has judged ones, else by the titles of its supporting facts.
export function passageList(ranked, answer, { gold, relevant }, experiment) {
  const kept = answer.kept ?? 0;
  const cited = answer.cited ?? [];
  const grades = relevant && new Map(relevant);
  const items = ranked.map((passage, i) => item(passage, i, i >= kept, gold ?? [], cited, grades));
  if (kept < ranked.length) items.splice(kept, 0, el("li", { class: "cut" }, cutWords(answer, experiment)));
  const lost = grades ? lostPassages(grades, ranked) : lostFacts(gold ?? [], ranked);
  return [
    ranked.length ? el("ol", { class: "passages" }, items) : el("p", { class: "lead" }, "No passages: this retriever gives none."),
    ...(lost ? [el("p", {}, el("span", { class: "mark is-gold" }, "★ gold"), `not retrieved: ${lost}`)] : []),
  ];
}

function lostFacts(gold, ranked) {
  const titles = new Set(ranked.map((passage) => passage.title));
  return factsInWords(gold.filter(([title]) => !titles.has(title)));
}

function lostPassages(grades, ranked) {
  const ids = new Set(ranked.map((passage) => passage.id));
  const lost = [...grades].filter(([id]) => !ids.has(id));
  const more = lost.length - LOST_SHOWN;
  const shown = lost.slice(0, LOST_SHOWN).map(([id, grade]) => `${id} (grade ${grade})`);
  return [...shown, ...(more > 0 ? [`${more} more`] : [])].join("; ");
}

function cutWords(answer, experiment) {
  const left = answer.omitted ? `${plural(answer.omitted, "passage")} left out because the prompt would not fit` : "";
  const beyond = experiment.top_k === null ? "" : `the prompt takes the first ${experiment.top_k}`;
  return `Below here, not in the prompt: ${[left, beyond].filter(Boolean).join("; ")}.`;
}

export function factsInWords(facts) {
  const byTitle = new Map();
  for (const [title, sentence] of facts) byTitle.set(title, [...(byTitle.get(title) ?? []), sentence + 1]);
  return [...byTitle].map(([title, sentences]) => `${title} (sentence ${sentences.join(", ")})`).join("; ");
}

function item(passage, rank, out, gold, cited, grades) {
  const marks = Array.from({ length: passage.length }, (_, i) => markOf(passage.title, i, gold, out ? [] : cited));
  const isGold = grades ? grades.has(passage.id) : gold.some(([title]) => title === passage.title);
  const goldWords = grades ? `★ gold passage, grade ${grades.get(passage.id)}` : "★ gold passage";
  return el(
    "li",
    { class: `passage${out ? " out" : ""}` },
    el("h3", {}, el("small", {}, `${rank + 1}.`), passage.title, isGold && el("span", { class: "mark is-gold" }, goldWords), passage.score ? el("small", {}, `score ${passage.score}`) : null),
    passage.sentences ? sentences(passage.sentences, marks) : titlesOnly(marks),
  );
}

function markOf(title, i, gold, cited) {
  const has = (facts) => facts.some(([name, sentence]) => name === title && sentence === i);
  return has(gold) ? (has(cited) ? "both" : "gold") : has(cited) ? "cited" : null;
}

function sentences(texts, marks) {
  return el("ol", { class: "sentences" }, texts.map((text, i) => el("li", { class: marks[i] ? MARKS[marks[i]][1] : null }, badge(marks[i]), text)));
}

const badge = (mark) => (mark ? el("span", { class: "mark" }, MARKS[mark][0]) : null);

// Without the text: which sentences are marked.
function titlesOnly(marks) {
  const found = marks.map((mark, i) => [mark, i]).filter(([mark]) => mark);
  return el("ol", { class: "sentences" }, found.map(([mark, i]) => el("li", { class: MARKS[mark][1] }, badge(mark), `sentence ${i + 1}`)));
}
