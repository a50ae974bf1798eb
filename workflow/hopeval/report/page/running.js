// How it ran: which jobs, where and when, what the cache and the journal saved, what failed.

import { el, table } from "./dom.js";
import { timeline } from "./charts.js";
import { clock, count, percent, plural, seconds } from "./format.js";
import { index, summary } from "./store.js";
import { address } from "./state.js";

export async function renderRunning(section) {
  const width = Math.max(280, Math.min(1100, section.clientWidth - 30));
  const columns = await index();
  section.replaceChildren(...summary.runs.flatMap((run) => [el("h2", {}, run.work), ...parts(run, columns, width)]));
}

function parts(run, columns, width) {
  if (!run.calls) return [el("p", { class: "lead" }, "No request was answered.")];
  return [tiles(run), ...jobs(run, width), el("div", { class: "columns" }, latencies(run), errors(run)), ...(run.slowest.length ? [slowest(run, columns)] : [])];
}

function tiles(run) {
  const share = run.cached_share;
  const facts = [
    ["requests", count(run.calls)],
    ["from the journal", count(run.journal_hits)],
    ["tokens in", count(run.prompt_tokens)],
    ["of them cached", share === null ? "–" : `${percent(share)} %`],
    ["tokens out", count(run.completion_tokens)],
    ["tokens/s", run.tokens_per_s === null ? "–" : run.tokens_per_s.toFixed(1)],
    ["in flight for", seconds(run.busy_s)],
    ["retries", count(total(run.retries))],
    ["errors", count(total(run.errors))],
  ];
  return el("dl", { class: "tiles" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function jobs(run, width) {
  if (!run.attempts.length) return [];
  const bars = run.attempts.map((job) => ({
    lane: [job.host || "host not known", ...(job.devices.length ? [`GPU ${job.devices.join(", ")}`] : ["CPU"])].join(" · "),
    from: job.started,
    work: job.first_call,
    to: job.ended,
    kind: job.journal ? "old" : "",
    errors: job.errors,
    title: `shard ${job.shard}: ${plural(job.answers, "answer")}, ${plural(job.errors, "error")}, ${seconds(job.ended - job.started)}`,
  }));
  const rows = run.attempts.map((job) => [job.shard, job.host || "–", job.devices.join(", ") || "CPU", clock(job.started), seconds(job.first_call - job.started), seconds(job.ended - job.first_call), count(job.answers), count(job.errors), job.journal ? "yes" : ""]);
  return [
    el("figure", {}, timeline(`${plural(bars.length, "job")} over time, by host and device`, bars, width), el("figcaption", {}, "A bar for each job that answered part of a shard: grey while it waited for devices and loaded the model, blue while requests were in flight, with ! and a number where some failed; an outline where a later job took its answers from the journal. Times from the first start.")),
    el("details", {}, el("summary", {}, "The jobs in numbers"), table(["shard", "host", "devices", "started (UTC)", "until first call", "answering", "answers", "errors", "kept by a later job"], rows)),
  ];
}

function latencies(run) {
  const names = { p50: "median", p90: "90 %", p95: "95 %", p99: "99 %", max: "longest", mean: "mean" };
  const rows = Object.entries(names).map(([key, name]) => [name, seconds(run.latency[key])]);
  return el("div", {}, el("h3", {}, "Seconds of a request"), table(["percentile", "latency"], rows));
}

function total(kinds) {
  return Object.values(kinds).reduce((a, b) => a + b, 0);
}

function errors(run) {
  const kinds = [...new Set([...Object.keys(run.errors), ...Object.keys(run.retries)])];
  const rows = kinds.map((kind) => [kind, count(run.errors[kind] || 0), count(run.retries[kind] || 0)]);
  const retried = `${plural(run.retried, "request")} needed more than one attempt.`;
  return el(
    "div",
    {},
    el("h3", {}, "Errors and retries"),
    kinds.length ? table(["kind", "failed requests", "repeated calls"], rows) : el("p", {}, "No request failed."),
    el("p", { class: "note" }, retried),
  );
}

function slowest(run, columns) {
  const rows = run.slowest.map((call) => [
    el("a", { href: address({ q: columns.id[call.question], e: summary.experiments[call.experiment].name }) }, columns.text[call.question].slice(0, 140)),
    seconds(call.latency_s),
    count(call.prompt_tokens),
    count(call.completion_tokens),
    count(call.attempts),
  ]);
  return el("div", {}, el("h3", {}, "Slowest requests"), table(["question", "seconds", "tokens in", "tokens out", "attempts"], rows));
}
