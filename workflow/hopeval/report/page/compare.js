// Any two experiments: paired differences, and the questions on which they part.

import { el, select, table } from "./dom.js";
import { whisker } from "./charts.js";
import { count, interval, percent, plural, points, pValue } from "./format.js";
import { comparisons, experimentNumber, index, summary } from "./store.js";
import { address, go } from "./state.js";

const NAMES = { em: "EM", f1: "F1", sp_em: "SP EM", sp_f1: "SP F1", joint_em: "joint EM", joint_f1: "joint F1" };

export async function renderCompare(section, state) {
  const names = summary.experiments.map((experiment) => experiment.name);
  if (names.length < 2) {
    section.replaceChildren(el("p", { class: "lead" }, "There is only one experiment: nothing to compare it with."));
    return;
  }
  const a = names[experimentNumber(state.a)];
  const b = names.includes(state.b) && state.b !== a ? state.b : names.find((name) => name !== a);
  const found = (await comparisons()).map((row) => oriented(row, a, b)).filter(Boolean);
  section.replaceChildren(choice(names, a, b), ...results(found, a, b), ...(await flips(a, b)));
}

function choice(names, a, b) {
  const options = names.map((name) => [name, name]);
  return el(
    "div",
    { class: "choice" },
    select("A", options, a, (value) => go({ v: "compare", a: value, b: value === b ? a : b })),
    select("B", options, b, (value) => go({ v: "compare", a: value === a ? b : a, b: value })),
    el("button", { type: "button", click: () => go({ v: "compare", a: b, b: a }) }, "⇄ Swap"),
  );
}

// A comparison with a and b as they were asked for.
function oriented(row, a, b) {
  if (row.a === a && row.b === b) return row;
  if (row.a !== b || row.b !== a) return null;
  return { ...row, a, b, mean_a: row.mean_b, mean_b: row.mean_a, difference: -row.difference, low: -row.high, high: -row.low, a_better: row.b_better, b_better: row.a_better };
}

function results(rows, a, b) {
  if (!rows.length) return [el("p", { class: "lead" }, "They have no scored question in common.")];
  const least = Math.min(...rows.map((row) => row.low), 0);
  const most = Math.max(...rows.map((row) => row.high), 0, least + 0.01);
  const cells = rows.map((row) => [
    NAMES[row.metric],
    percent(row.mean_a),
    percent(row.mean_b),
    el("td", {}, points(row.difference), whisker(row.difference, row.low, row.high, least, most)),
    interval(row.low, row.high, points, " to "),
    count(row.a_better),
    count(row.b_better),
    pValue(row.p_mcnemar ?? row.p_permutation),
    pValue(row.p_holm),
    el("td", { class: "verdict" }, verdict(row, a, b)),
  ]);
  const header = ["metric", "A", "B", "A − B", "95 % interval", "A better", "B better", "p", "p, corrected", "verdict"];
  return [
    el("p", { class: "lead" }, `${plural(rows[0].questions, "question")} that both have a score for, in percent and percentage points.`),
    table(header, cells),
    el(
      "p",
      { class: "note" },
      "A better, B better: on how many questions. p: McNemar's exact test for the EMs, else a paired permutation test; corrected for the number of pairs of experiments (Holm). " +
        `A tie is a difference that may be chance: corrected p ≥ ${summary.level}. The interval is of this pair alone.`,
    ),
  ];
}

function verdict(row, a, b) {
  if (row.p_holm >= summary.level) return "= tie";
  return row.difference > 0 ? "◀ A is better" : "▶ B is better";
}

// How often one is right where the other is not; each count opens its questions.
async function flips(a, b) {
  const [first, second] = [a, b].map((name) => experimentNumber(name));
  const columns = (await index()).experiments;
  const counts = { both: 0, lost: 0, gained: 0, neither: 0 };
  for (let i = 0; i < summary.questions; i += 1) {
    const [x, y] = [columns[first].answered[i], columns[second].answered[i]];
    if (x !== "-" && y !== "-") counts[x === "r" ? (y === "r" ? "both" : "lost") : y === "r" ? "gained" : "neither"] += 1;
  }
  const link = (kind) => el("a", { href: address({ v: "questions", f: kind, a, b, e: a }) }, count(counts[kind]));
  const rows = [
    ["✓ A is right", link("both"), link("lost")],
    ["✗ A is not", link("gained"), link("neither")],
  ];
  const scored = counts.both + counts.lost + counts.gained + counts.neither;
  if (!scored) return [];
  return [
    el("h2", {}, "Flips"),
    el("p", { class: "lead" }, `Going from A to B, ${plural(counts.lost, "right answer")} turned wrong and ${count(counts.gained)} wrong ones right. Each number opens its questions.`),
    table(["questions", "✓ B is right", "✗ B is not"], rows),
  ];
}
