// Which questions are meant: by what became of them, by type and level, by words.

import { experimentNumber } from "./store.js";

// The filters that have a button. Each tells of question i, in the columns of the chosen experiment, whether it is meant.
export const FILTERS = {
  "": { name: "all", test: () => true },
  right: { name: "✓ right", test: (own, i) => own.answered[i] === "r" },
  wrong: { name: "✗ wrong", test: (own, i) => own.answered[i] === "w" },
  near: { name: "≈ near miss", test: (own, i) => own.near[i] !== "-" },
  unparsable: { name: "? unparsable or cut off", test: (own, i) => "ut".includes(own.answered[i]) },
  error: { name: "! error or missing", test: (own, i) => "em".includes(own.answered[i]) },
  missed: { name: "retrieval missed", test: (own, i) => "sn".includes(own.retrieved[i]) },
  disagree: { name: "experiments disagree", test: (own, i, all) => disagree(all, i) },
};

const LETTERS = {
  answered: { right: "r", wrong: "w", unparsable: "u", truncated: "t", error: "e", missing: "m" },
  retrieved: { all: "a", some: "s", none: "n", unknown: "x" },
};
const FLIPS = { both: [true, true], lost: [true, false], gained: [false, true], neither: [false, false] };
const FLIP_NAMES = { both: "right in A and in B", lost: "right in A, not in B", gained: "right in B, not in A", neither: "right in neither" };

function disagree(all, i) {
  const first = all[0].answered[i] === "r";
  return all.some((one) => (one.answered[i] === "r") !== first);
}

// The filter that an address means, with its name; one without a button came from a count that was clicked.
function filterOf(state) {
  const f = state.f ?? "";
  if (Object.hasOwn(FILTERS, f)) return FILTERS[f];
  const [kind, value = ""] = f.split(":");
  if (Object.hasOwn(FLIPS, f)) return flip(f, experimentNumber(state.a), experimentNumber(state.b));
  if (kind === "status") return statusFilter(value);
  if (kind === "near") return { name: value === "f" ? "near miss: F1 above 60" : "near miss: contains the gold answer", test: (own, i) => own.near[i] === value };
  if (kind === "cell") return cellFilter(...value.split("/"));
  return FILTERS[""];
}

function flip(kind, a, b) {
  const [inA, inB] = FLIPS[kind];
  const test = (own, i, all) => all[a].answered[i] !== "-" && all[b].answered[i] !== "-" && (all[a].answered[i] === "r") === inA && (all[b].answered[i] === "r") === inB;
  return { name: FLIP_NAMES[kind], test, pair: true };
}

// The leaderboard counts a truncated reply that is right all the same; here it is found as well.
function statusFilter(value) {
  return { name: value, test: (own, i) => own.status[i] === value[0] };
}

function cellFilter(row, column) {
  const test = (own, i) => own.retrieved[i] === LETTERS.retrieved[row] && own.answered[i] === LETTERS.answered[column];
  return { name: `retrieved: ${row} · ${column}`, test };
}

// The places of the questions that are meant, and the name of a filter that has no button.
export function selected(columns, state) {
  const filter = filterOf(state);
  const own = columns.experiments[experimentNumber(state.e)];
  const type = columns.type.names.indexOf(state.t);
  const level = columns.level.names.indexOf(state.l);
  const words = (state.s ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = [];
  for (let i = 0; i < columns.id.length; i += 1) {
    if (type >= 0 && columns.type.codes[i] !== type) continue;
    if (level >= 0 && columns.level.codes[i] !== level) continue;
    if (!filter.test(own, i, columns.experiments)) continue;
    if (words.every((word) => columns.haystack[i].includes(word))) found.push(i);
  }
  const special = Object.values(FILTERS).includes(filter) ? null : filter;
  return { places: found, special };
}

const counted = new Map(); // by experiment: they do not change

// How many questions each button stands for, in the chosen experiment.
export function counts(columns, state) {
  const number = experimentNumber(state.e);
  if (!counted.has(number)) counted.set(number, Object.entries(FILTERS).map(([f, filter]) => [f, filter.name, countOf(filter, columns, number)]));
  return counted.get(number);
}

function countOf(filter, columns, number) {
  const own = columns.experiments[number];
  let found = 0;
  for (let i = 0; i < columns.id.length; i += 1) found += filter.test(own, i, columns.experiments) ? 1 : 0;
  return found;
}
