// Plots as SVG text, without scripts or fonts of their own.

/** Pairs of a strong and a pale colour: padless and its rival. */
const PAIRED = ['#1f6feb', '#a5c8ff', '#bf8700', '#f0d68f', '#1a7f37', '#a3dcb4'];
const STRONG = PAIRED.filter((_, i) => i % 2 === 0);
const INK = '#57606a';

export const escapeText = (text) =>
  String(text).replace(
    /[&<>"]/g,
    (letter) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[letter],
  );

const label = (x, y, text, anchor = 'middle', size = 11, color = INK) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" fill="${color}">${escapeText(text)}</text>`;

const line = (x1, y1, x2, y2, color = '#d0d7de') =>
  `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${color}"/>`;

/** A round number not below `value`: 1, 2 or 5 times a power of ten. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

function frame(width, height, title, body) {
  return (
    `<svg viewBox="0 0 ${width} ${height}" width="${width}" role="img" font-family="system-ui, sans-serif">` +
    `<title>${escapeText(title)}</title>${label(0, 16, title, 'start', 14, '#1f2328')}${body}</svg>`
  );
}

function gridLines(top, left, right, bottom, largest, format) {
  const steps = 4;
  return Array.from({ length: steps + 1 }, (_, i) => {
    const y = bottom - ((bottom - top) * i) / steps;
    return line(left, y, right, y) + label(left - 6, y + 4, format((largest * i) / steps), 'end');
  }).join('');
}

const keyWidth = (name) => 26 + 7 * name.length;

function legend(names, colors, left, y) {
  let x = left;
  return names
    .map((name, i) => {
      const at = x;
      x += keyWidth(name);
      return (
        `<rect x="${at}" y="${y - 9}" width="10" height="10" fill="${colors[i]}"/>` +
        label(at + 15, y, name, 'start')
      );
    })
    .join('');
}

/**
 * Bars in groups. `groups`: [{label, values: [number | undefined]}], one value a name of `series`; `notes` gives the
 * text over a bar.
 */
export function barChart({ title, series, groups, format, note, largest }) {
  const [left, top, bar, gap, height] = [70, 52, 34, 26, 300];
  const bottom = height - 34;
  const keys = series.reduce((sum, name) => sum + keyWidth(name), left);
  const width = Math.max(keys, left + groups.length * (series.length * bar + gap) + 20);
  const limit =
    largest ?? roundUp(Math.max(...groups.flatMap(({ values }) => values.filter(Number.isFinite))));
  const bars = groups.map(({ label: name, values }, g) => {
    const x0 = left + gap / 2 + g * (series.length * bar + gap);
    const rects = values.map((value, s) => {
      if (!Number.isFinite(value)) return '';
      const h = ((bottom - top) * Math.min(value, limit)) / limit;
      const x = x0 + s * bar;
      return (
        `<rect x="${x}" y="${bottom - h}" width="${bar - 4}" height="${h}" fill="${PAIRED[s]}">` +
        `<title>${escapeText(note?.(g, s) ?? format(value))}</title></rect>` +
        label(x + bar / 2 - 2, bottom - h - 4, format(value), 'middle', 9)
      );
    });
    return rects.join('') + label(x0 + (series.length * bar) / 2, bottom + 16, name);
  });
  const body = gridLines(top, left, width - 10, bottom, limit, format) + bars.join('');
  return frame(width, height, title, legend(series, PAIRED, left, 38) + body);
}

/** Lines over a logarithmic x axis. `series`: [{name, points: [[x, y], ...]}]. */
export function lineChart({ title, series, xLabel, format }) {
  const [left, top, width, height] = [70, 52, 560, 300];
  const [right, bottom] = [width - 20, height - 46];
  const xs = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const limit = roundUp(Math.max(...series.flatMap(({ points }) => points.map(([, y]) => y))));
  const span = Math.log(xs.at(-1) / xs[0]) || 1;
  const px = (x) => left + 12 + ((right - left - 24) * Math.log(x / xs[0])) / span;
  const py = (y) => bottom - ((bottom - top) * y) / limit;
  const lines = series.map(({ points }, i) => {
    const color = STRONG[i];
    const dots = points.map(
      ([x, y]) =>
        `<circle cx="${px(x)}" cy="${py(y)}" r="3" fill="${color}"><title>${format(y)}</title></circle>`,
    );
    const path = points.map(([x, y]) => `${px(x)},${py(y)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"/>${dots.join('')}`;
  });
  const ticks = xs.map((x) => label(px(x), bottom + 16, x.toLocaleString('en-US'))).join('');
  const body = gridLines(top, left, right, bottom, limit, format) + ticks + lines.join('');
  const names = series.map(({ name }) => name);
  return frame(
    width,
    height,
    title,
    legend(names, STRONG, left, 38) + body + label((left + right) / 2, height - 8, xLabel),
  );
}
