// Charts as SVG. Each has a name that is read out; the numbers stand in a table beside it.

import { svg, el } from "./dom.js";
import { percent } from "./format.js";

const ROW = 22;

// Values with whiskers on a scale from `least` to `most`: one line, as in a table's cell.
export function whisker(value, low, high, least, most, width = 180) {
  const x = (v) => 4 + ((v - least) / (most - least || 1)) * (width - 8);
  const zero = least <= 0 && most >= 0 && (least < 0 || width > 150) ? [svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 14 })] : [];
  return svg(
    "svg",
    { class: "whisker", width, height: 14, viewBox: `0 0 ${width} 14`, "aria-hidden": "true" },
    zero,
    svg("line", { x1: x(low), x2: x(high), y1: 7, y2: 7 }),
    svg("circle", { cx: x(value), cy: 7, r: 3 }),
  );
}

// Lines over x, each {name, points: [{x, y, low, high}], dashed}; y are shares from 0 to 1.
export function lines(label, series, { width, xLabel, xTicks, x: scale = (v) => v }) {
  const height = 260;
  const box = { left: 40, right: 14, top: 10, bottom: 38 };
  const xs = series.flatMap((one) => one.points.map((point) => scale(point.x)));
  const [least, most] = [Math.min(...xs), Math.max(...xs)];
  const x = (v) => box.left + ((scale(v) - least) / (most - least || 1)) * (width - box.left - box.right);
  const y = (v) => box.top + (1 - v) * (height - box.top - box.bottom);
  const parts = [0, 0.25, 0.5, 0.75, 1].flatMap((tick) => [
    svg("line", { class: "axis", x1: box.left, x2: width - box.right, y1: y(tick), y2: y(tick) }),
    svg("text", { x: box.left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(100 * tick)),
  ]);
  parts.push(...xTicks.map((tick) => svg("text", { x: x(tick), y: height - box.bottom + 16, "text-anchor": x(tick) > width - 30 ? "end" : "middle" }, tick.toLocaleString("en"))));
  parts.push(svg("text", { x: (box.left + width - box.right) / 2, y: height - 6, "text-anchor": "middle" }, xLabel));
  for (const one of series) parts.push(line(one, x, y));
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, parts);
}

function line(one, x, y) {
  const through = (key) => one.points.map((point) => `${x(point.x).toFixed(1)},${y(point[key]).toFixed(1)}`);
  const band = [...through("high"), ...through("low").reverse()].join(" ");
  const dots = one.points.map((point) =>
    svg("circle", { class: "dot", cx: x(point.x), cy: y(point.y), r: 3 }, svg("title", {}, `${one.name}, ${point.x}: ${percent(point.y)} (${percent(point.low)}–${percent(point.high)})`)),
  );
  return svg(
    "g",
    { class: one.colour },
    svg("polygon", { class: "band", points: band }),
    svg("polyline", { class: `ink${one.dashed ? " dashed" : ""}`, points: through("y").join(" ") }),
    dots,
  );
}

export function legend(series) {
  return el(
    "ul",
    { class: "legend" },
    series.map((one) =>
      el(
        "li",
        { class: one.colour },
        svg("svg", { width: 28, height: 8, viewBox: "0 0 28 8", "aria-hidden": "true" }, svg("line", { class: `ink${one.dashed ? " dashed" : ""}`, x1: 0, x2: 28, y1: 4, y2: 4 })),
        one.name,
      ),
    ),
  );
}

// Jobs over time: {lane, from, work, to, kind, title}, times in seconds since 1970. A lane is a host and its devices.
export function timeline(label, jobs, width) {
  const begin = Math.min(...jobs.map((job) => job.from));
  const end = Math.max(...jobs.map((job) => job.to));
  const rows = packedRows(jobs);
  const left = Math.min(190, width * 0.4);
  const x = (at) => left + ((at - begin) / (end - begin || 1)) * (width - left - 10);
  const height = rows.length * ROW + 30;
  const parts = rows.flatMap((row, i) => {
    const top = i * ROW + 4;
    const name = row.first ? [svg("text", { class: "strong", x: 0, y: top + 13 }, shortened(row.lane, left / 7))] : [];
    return [...name, svg("line", { class: "axis", x1: left, x2: width - 10, y1: top + 18, y2: top + 18 }), ...row.jobs.map((job) => bar(job, x, top))];
  });
  const span = end - begin;
  const ticks = [0, 0.25, 0.5, 0.75, 1].filter((_, i) => width > 500 || i % 2 === 0);
  parts.push(...ticks.map((part) => svg("text", { x: x(begin + part * span), y: height - 8, "text-anchor": part === 1 ? "end" : "middle" }, duration(part * span, span))));
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, parts);
}

// All of a chart in one unit.
function duration(value, span) {
  if (span >= 7200) return `${(value / 3600).toFixed(1)} h`;
  return span >= 180 ? `${(value / 60).toFixed(1)} min` : `${value.toFixed(0)} s`;
}

const shortened = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);

function bar(job, x, top) {
  const wide = (from, to) => Math.max(2, x(to) - x(from));
  return svg(
    "g",
    {},
    svg("title", {}, job.title),
    svg("rect", { class: "loading", x: x(job.from), y: top + 4, width: wide(job.from, job.work), height: 8 }),
    svg("rect", { class: `job ${job.kind}`, x: x(job.work), y: top, width: wide(job.work, job.to), height: 16, rx: 2 }),
    job.errors ? svg("text", { class: "alarm", x: x(job.work) + 5, y: top + 12 }, `! ${job.errors}`) : [],
  );
}

// Jobs of one lane that ran at the same time go to rows of their own.
function packedRows(jobs) {
  const rows = [];
  for (const lane of [...new Set(jobs.map((job) => job.lane))].sort()) {
    const own = [];
    for (const job of jobs.filter((one) => one.lane === lane).sort((a, b) => a.from - b.from)) {
      const free = own.find((row) => row.until <= job.from);
      if (free) Object.assign(free, { until: job.to, jobs: [...free.jobs, job] });
      else own.push({ lane, first: own.length === 0, until: job.to, jobs: [job] });
    }
    rows.push(...own);
  }
  return rows;
}
