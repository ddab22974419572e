const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 12, right: 12, bottom: 40, left: 40 };
const HEIGHT = 300;

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Curves of runs: [{run, training: [[step, dB]...], validation: [[step, dB]...]}], gains over the
// input. They are drawn anew for every width, so that the letters keep their size.
function curves(runs) {
  const place = element("div", { class: "curves" });
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0) place.replaceChildren(plot(runs, width));
  }).observe(place);
  const keys = runs.flatMap((run, index) => [
    key(index, "", runs.length > 1 ? `${run.run}, validation` : "validation"),
    key(index, "thin", runs.length > 1 ? `${run.run}, training batches` : "training batches"),
  ]);
  return element("div", {}, element("div", { class: "legend quiet" }, ...keys), place);
}

function key(index, kind, label) {
  return element("span", { class: "key", style: colour(index) }, element("i", { class: kind }), label);
}

const colour = (index) => `--colour: var(--series-${index % 4})`;

function plot(runs, width) {
  const points = runs.flatMap((run) => [...run.training, ...run.validation]);
  const steps = ticks(0, Math.max(...points.map(([step]) => step), 1), Math.max(2, width / 120));
  const values = ticks(Math.min(...points.map(([, db]) => db)), Math.max(...points.map(([, db]) => db)), 6);
  const x = scale(steps, MARGIN.left, width - MARGIN.right);
  const y = scale(values, HEIGHT - MARGIN.bottom, MARGIN.top);
  const path = (line) => line.map(([step, db]) => `${x(step).toFixed(1)},${y(db).toFixed(1)}`).join(" ");
  return drawn("svg", { width, height: HEIGHT, role: "img", "aria-label": "Gain by training step" },
    ...values.flatMap((db) => [
      drawn("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(db), y2: y(db) }),
      drawn("text", { x: MARGIN.left - 8, y: y(db) + 4, "text-anchor": "end" }, shown(db)),
    ]),
    ...steps.map((step) => drawn("text", { x: x(step), y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle" }, shown(step))),
    drawn("text", { x: (MARGIN.left + width - MARGIN.right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "training step; gain in dB"),
    ...runs.map((run, index) => drawn("g", { style: colour(index) },
      drawn("polyline", { class: "line training", points: path(run.training) }),
      drawn("polyline", { class: "line", points: path(run.validation) }),
      ...run.validation.map(([step, db]) => drawn("circle", { cx: x(step), cy: y(db), r: 3 },
        drawn("title", {}, `step ${count(step)}: ${db.toFixed(2)} dB`))))));
}

// Round numbers that cover a range, about `wanted` of them.
function ticks(low, high, wanted) {
  const rough = Math.max(high - low, 1e-3) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const stride = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const [first, last] = [Math.floor(low / stride), Math.ceil(high / stride)];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * stride).toPrecision(12)));
}

function scale(marks, from, to) {
  const [low, high] = [marks[0], marks[marks.length - 1]];
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

const shown = (number) => (Math.abs(number) >= 10000 ? `${number / 1000}k` : String(number));
