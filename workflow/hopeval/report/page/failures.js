// Where one experiment fails: what was retrieved by what was answered, and for whom.

import { el, select, svg, table } from "./dom.js";
import { legend, lines, whisker } from "./charts.js";
import { count, interval, percent, plural, points } from "./format.js";
import { experimentNumber, summary } from "./store.js";
import { address, go } from "./state.js";

const ROWS = { all: "all gold passages", some: "some of them", none: "none of them", unknown: "gold not known" };
const COLUMNS = ["right", "wrong", "unparsable", "truncated", "error", "missing"];
const BREAKDOWNS = { type: "type", level: "level", hops: "gold passages", answer_kind: "answer" };

export function renderFailures(section, state) {
  const experiment = summary.experiments[experimentNumber(state.e)];
  const width = Math.max(280, Math.min(620, section.clientWidth - 40));
  const options = summary.experiments.map(({ name }) => [name, name]);
  section.replaceChildren(
    el("div", { class: "choice" }, select("Experiment", options, experiment.name, (e) => go({ v: "failures", e }))),
    ...(experiment.scored ? scored(experiment) : [el("p", { class: "lead" }, "These questions have no gold answers, so that nobody can say which answers are wrong.")]),
    el("div", { class: "columns" }, recall(width), lengths(experiment, width)),
  );
}

function scored(experiment) {
  return [
    el("h2", {}, "What was retrieved × what was answered"),
    matrix(experiment),
    el("p", { class: "note" }, "Every question is in one cell; each number opens its questions. Retrieved: gold passages that were in the prompt."),
    share(experiment),
    el("h2", {}, "Near misses"),
    nearMisses(experiment),
    el("h2", {}, "By kind of question"),
    breakdowns(experiment),
  ];
}

function matrix(experiment) {
  const shown = COLUMNS.filter((column) => ["right", "wrong"].includes(column) || Object.values(experiment.cells).some((row) => row[column]));
  const total = Object.values(experiment.cells).flatMap((row) => Object.values(row)).reduce((a, b) => a + b, 0);
  const rows = Object.entries(experiment.cells).map(([name, row]) => {
    const sum = Object.values(row).reduce((a, b) => a + b, 0);
    return [ROWS[name], ...shown.map((column) => cell(experiment.name, name, column, row[column], total)), count(sum), sum ? percent(row.right / sum) : "–"];
  });
  const made = table(["retrieved", ...shown.map((column) => `${sign(column)} ${column}`), "questions", "EM"], rows);
  made.classList.add("matrix");
  return made;
}

export const sign = (answered) => ({ right: "✓", wrong: "✗", unparsable: "?", truncated: "…", error: "!", missing: "∅" })[answered] ?? "–";

function cell(experiment, row, column, number, total) {
  if (!number) return el("td", {}, "0");
  const part = Math.max(1, (56 * number) / total);
  const bar = svg("svg", { class: `cellbar ${column}`, width: 56, height: 4, "aria-hidden": "true" }, svg("rect", { x: 56 - part, width: part, height: 4 }));
  const link = el("a", { href: address({ v: "questions", e: experiment, f: `cell:${row}/${column}` }) }, count(number));
  return el("td", {}, link, el("small", {}, `${percent(number / total)} %`), bar);
}

function share(experiment) {
  const [loss, low, high] = experiment.retrieval_loss;
  if (loss === null) return el("p", { class: "note" }, "What retrieval costs can be told where another experiment of the same prompt and reader has the gold passages (a retriever of kind gold).");
  return el(
    "p",
    {},
    "Retrieval's share of the loss: ",
    el("strong", {}, `${points(loss)} points of EM`),
    ` (95 % interval ${interval(low, high, points, " to ")}), which the same reader and prompt gain with the gold passages on the same questions.`,
  );
}

function nearMisses(experiment) {
  const { close, contains } = experiment.near_misses;
  const link = (number, f) => (number ? el("a", { href: address({ v: "questions", e: experiment.name, f }) }, plural(number, "answer")) : plural(0, "answer"));
  return el(
    "p",
    {},
    link(close, "near:f"),
    ` not exact but with F1 above ${percent(summary.near_f1)} (another form, an alias); `,
    link(contains, "near:c"),
    " in which the gold answer stands, with more around it.",
  );
}

function breakdowns(experiment) {
  const parts = Object.entries(BREAKDOWNS).filter(([column]) => experiment.breakdowns[column].length);
  const highest = Math.max(...parts.flatMap(([column]) => experiment.breakdowns[column].flatMap((row) => [row.em?.[2] ?? 0, row.f1?.[2] ?? 0])), 0.01);
  const score = (found) => (found ? el("td", {}, percent(found[0]), whisker(found[0], found[1], found[2], 0, highest, 90), el("small", {}, interval(found[1], found[2]))) : "–");
  return el(
    "div",
    { class: "columns kinds" },
    parts.map(([column, name]) => table([name, "questions", "EM", "F1"], experiment.breakdowns[column].map((row) => [row.name, count(row.questions), score(row.em), score(row.f1)]))),
  );
}

function recall(width) {
  if (!summary.recall.length) return el("div");
  const names = [...new Set(summary.recall.map((row) => row.retriever))];
  const series = names.flatMap((name, i) =>
    [["recall", "", false], ["all_gold_recall", ", all gold", true]].map(([key, words, dashed]) => ({
      name: name + words,
      colour: `series${i % 6}`,
      dashed,
      points: summary.recall.filter((row) => row.retriever === name).map((row) => ({ x: row.k, y: row[key], low: row[`${key}_low`], high: row[`${key}_high`] })),
    })),
  );
  const ks = [...new Set(summary.recall.map((row) => row.k))];
  const ticks = ks.filter((k) => k === 1 || k % Math.ceil(ks.length / 10) === 0);
  const rows = summary.recall.map((row) => [`${row.retriever} @${row.k}`, percent(row.recall), interval(row.recall_low, row.recall_high), percent(row.all_gold_recall), interval(row.all_gold_recall_low, row.all_gold_recall_high)]);
  return el(
    "div",
    {},
    el("h2", {}, "Recall at k"),
    el("figure", {}, lines("Recall at k of each retriever", series, { width, xLabel: "k, passages from the best", xTicks: ticks }), legend(series), el("figcaption", {}, "Share of gold passages among the first k, and of questions with all of them there; percent, with 95 % intervals.")),
    el("details", {}, el("summary", {}, "The numbers"), table(["retriever", "recall", "95 %", "all gold", "95 %"], rows)),
  );
}

function lengths(experiment, width) {
  if (!experiment.lengths.length) return el("div");
  const points = experiment.lengths.map((bin) => ({ x: Math.round(bin.tokens), y: bin.f1[0], low: bin.f1[1], high: bin.f1[2] }));
  const series = [{ name: "F1", colour: "series0", points }];
  const ticks = [points[0].x, points[points.length - 1].x, points[Math.floor(points.length / 2)].x];
  const rows = experiment.lengths.map((bin) => [`${count(bin.from)}–${count(bin.to)}`, count(bin.questions), percent(bin.f1[0]), interval(bin.f1[1], bin.f1[2])]);
  return el(
    "div",
    {},
    el("h2", {}, "Length of the prompt"),
    el("figure", {}, lines("F1 by the length of the prompt", series, { width, xLabel: "prompt tokens", xTicks: ticks }), el("figcaption", {}, "Mean F1 in percent, in bins of about as many questions each, with 95 % intervals.")),
    el("details", {}, el("summary", {}, "The numbers"), table(["prompt tokens", "questions", "F1", "95 %"], rows)),
  );
}
