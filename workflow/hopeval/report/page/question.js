// One question: all experiments side by side, the passages of one of them, and its prompt.

import { el } from "./dom.js";
import { count, percent, plural, seconds } from "./format.js";
import { selected } from "./filters.js";
import { factsInWords, markLegend, passageList } from "./passages.js";
import { messagesOf } from "./prompt.js";
import { details, experimentNumber, index, passage, sharedTexts, summary } from "./store.js";
import { address } from "./state.js";
import { signFor } from "./list.js";

const RETRIEVED = { a: "all gold passages in the prompt", s: "some gold passages in the prompt", n: "no gold passage in the prompt" };
const ANSWERED = { r: "right", w: "wrong", u: "unparsable", t: "truncated", e: "error", m: "missing", "-": "not scored" };

let around = null; // where previous and next lead

export async function renderQuestion(section, state) {
  around = null;
  const columns = await index();
  const i = columns.place.get(state.q);
  if (i === undefined) {
    section.replaceChildren(el("h1", { id: "question-title", tabindex: "-1" }, "No such question"), el("p", {}, "This run has no question with the id ", el("code", {}, state.q), ". ", el("a", { href: "#v=questions" }, "All questions")));
    return;
  }
  const detail = await details(i);
  const number = experimentNumber(state.e);
  const experiment = summary.experiments[number];
  const ranked = await rankedPassages(detail, experiment);
  const parts = [
    steps(columns, state, i),
    el("h1", { class: "asked", id: "question-title", tabindex: "-1" }, columns.text[i]),
    gold(columns, detail, i),
    el("h2", {}, "Answers"),
    el("div", { class: "cards" }, summary.experiments.map((one, n) => card(one, n, n === number, columns, detail, i, state))),
    el("h2", {}, `Passages of ${experiment.name}`),
    summary.texts ? null : el("p", { class: "note" }, "This page holds the passages' titles only. With their text: report: {passages: all} in the configuration, or hopeval report --passages all."),
    markLegend(),
    ...passageList(ranked, detail.answers[number], detail, experiment),
  ];
  section.replaceChildren(...parts.filter(Boolean));
}

async function rankedPassages(detail, experiment) {
  const numbers = detail.ranked[experiment.retriever];
  const found = await Promise.all(numbers.map(passage));
  const ids = detail.ids?.[experiment.retriever];
  return found.map((one, rank) => ({ ...one, id: ids?.[rank], score: detail.scores[experiment.retriever][rank] }));
}

function steps(columns, state, i) {
  const { places } = selected(columns, state);
  const order = places.indexOf(i);
  const to = (place) => (place === undefined ? null : address({ ...state, q: columns.id[place] }));
  const back = address({ ...state, v: "questions", q: undefined, at: order < 0 ? undefined : order });
  around = { previous: order > 0 ? to(places[order - 1]) : null, next: order >= 0 ? to(places[order + 1]) : null, back };
  const link = (href, words) => (href ? el("a", { href }, words) : el("span", {}, words));
  const where = order < 0 ? "" : `${count(order + 1)} of ${count(places.length)}`;
  return el("p", { class: "steps" }, el("a", { href: back }, "↑ List"), link(around.previous, "← Previous"), where, link(around.next, "Next →"), el("span", {}, el("kbd", {}, "←"), " ", el("kbd", {}, "→"), " ", el("kbd", {}, "Esc")));
}

// Arrow keys lead to the neighbours, Escape to the list.
export function stepByKey(event) {
  if (!around || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, pre, textarea")) return;
  const href = { ArrowLeft: around.previous, ArrowRight: around.next, k: around.previous, j: around.next, Escape: around.back }[event.key];
  if (!href) return;
  event.preventDefault();
  location.hash = href;
}

function gold(columns, detail, i) {
  const facts = detail.gold?.length ? [el("br"), el("small", {}, `proved by ${factsInWords(detail.gold)}`)] : [];
  const kind = [columns.type.names[columns.type.codes[i]], columns.level.names[columns.level.codes[i]]].filter(Boolean);
  return el(
    "p",
    { class: "gold-answer" },
    columns.gold[i] === null ? "Its gold answer is not known" : ["Gold answer: ", el("strong", {}, columns.gold[i])],
    facts,
    el("br"),
    el("small", {}, [...kind, columns.id[i]].join(" · ")),
  );
}

function card(experiment, n, chosen, columns, detail, i, state) {
  const own = columns.experiments[n];
  const answer = detail.answers[n];
  const heading = `card-${n}`;
  return el(
    "article",
    { class: "card", "aria-labelledby": heading, "data-chosen": chosen },
    el("h3", { id: heading }, experiment.name),
    el("p", { class: "answer" }, signFor(own, i), " ", own.answer[i] || "no answer"),
    el("p", { class: "meta" }, words(own, answer, i)),
    el("p", { class: "meta" }, RETRIEVED[own.retrieved[i]] ?? "", answer.omitted ? ` · ${plural(answer.omitted, "passage")} left out for length` : ""),
    answer.error || answer.detail ? el("p", { class: "meta" }, answer.error ?? answer.detail) : null,
    chosen ? el("p", { class: "meta" }, "its passages are below") : el("a", { href: address({ ...state, e: experiment.name }) }, "Show its passages"),
    folded("Raw output", () => el("pre", { tabindex: "0" }, answer.raw ?? ""), answer.raw !== undefined),
    folded("Reasoning", () => el("pre", { tabindex: "0" }, answer.reasoning), answer.reasoning !== undefined),
    folded("Exact prompt", () => prompt(experiment, answer, detail, columns.text[i]), answer.prompt !== undefined),
    folded("Cited sentences", () => el("p", { class: "meta" }, factsInWords(answer.cited)), answer.cited !== undefined),
    folded("Timing and tokens", () => timing(answer), answer.tokens !== undefined),
  );
}

function words(own, answer, i) {
  const near = { f: "near miss: F1 above 60", c: "near miss: contains the gold answer" }[own.near[i]];
  const names = ["F1", "SP EM", "SP F1", "joint F1"];
  const scores = (answer.scores ?? []).map((score, k) => `${names[k]} ${percent(score)}`);
  return [ANSWERED[own.answered[i]], near, ...scores, answer.unknown ? `${plural(answer.unknown, "unknown citation")}` : null].filter(Boolean).join(" · ");
}

// What is folded away is made when it is opened; the raw output is open from the start.
function folded(name, make, there) {
  if (!there) return null;
  const made = el("details", { class: name === "Exact prompt" ? "long" : null }, el("summary", {}, name));
  made.addEventListener("toggle", async () => {
    if (made.open && made.childElementCount === 1) made.append(await make());
  });
  made.open = name === "Raw output";
  return made;
}

async function prompt(experiment, answer, detail, question) {
  const numbers = detail.ranked[experiment.retriever].slice(0, answer.kept ?? 0);
  const messages = messagesOf(answer.prompt, await sharedTexts(), await Promise.all(numbers.map(passage)), question);
  return el("div", {}, messages.map(({ role, text }) => [el("p", { class: "role" }, role), el("pre", { tabindex: "0" }, text)]).flat());
}

function timing(answer) {
  const [prompt, completion, cached] = answer.tokens;
  const [shard, host, ...devices] = answer.where;
  const facts = [
    ["request", `${answer.key}…`],
    ["tokens", `${count(prompt)} in (${count(cached)} cached), ${count(completion)} out`],
    ["latency", seconds(answer.seconds[0])],
    ["waited before", seconds(answer.seconds[1])],
    ["attempts", count(answer.attempts)],
    ["ended by", answer.finish ?? "–"],
    ["at", answer.at || "–"],
    ["shard", shard || "–"],
    ["host", [host, ...devices].filter(Boolean).join(", ") || "–"],
  ];
  return el("dl", { class: "facts" }, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}
