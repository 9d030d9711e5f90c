// What the files of scripts/verify-gpu.sh say: used by its table and by docs/performance.md.

const LOAD = ['experiment', 'model', 'batch', 'cap', 'kind', 'seed'];
const ATTENTION_LOAD = ['experiment', 'batch', 'cap', 'heads', 'headDim', 'kind', 'seed'];

const sameBy = (keys) => (a) => (b) => keys.every((key) => a[key] === b[key]);
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
const measured = (lines) => lines.filter(({ error }) => error === undefined);
export const geometricMean = (numbers) => Math.exp(sum(numbers.map(Math.log)) / numbers.length);

/** The fastest mode of a rival's lines: {name, value} of the least field that ends in `suffix`, or undefined. */
function fastest(lines, suffix, except = []) {
  const modes = lines
    .flatMap(Object.entries)
    .filter(([key]) => key.endsWith(suffix) && !except.includes(key))
    .map(([key, value]) => ({ name: key.slice(0, -suffix.length), value }));
  return modes.sort((a, b) => a.value - b.value)[0];
}

/** Whole encoders beside PyTorch: {line, rival, ratio}; a rival that did not run is undefined. */
export function endToEnd(data) {
  const rivals = data.rivals.filter(({ section }) => section === 'bert');
  return measured(data.endToEnd).map((line) => {
    const rival = fastest(rivals.filter(sameBy(LOAD)(line)), '_ms');
    return { line, rival, ratio: rival && rival.value / line.ms };
  });
}

/** Products beside cuBLASLt: {line, ratio}. */
export const products = (data) =>
  kernels(data, 'gemm').map((line) => ({ line, ratio: line.cublaslt_us && line.cublaslt_us / line.us }));

/** Attention alone, a load each: {load, strategies fastest first, rival, ratio}. */
export function attention(data, experiment) {
  const lines = kernels(data, experiment);
  const loads = lines.filter((line, i) => lines.findIndex(sameBy(ATTENTION_LOAD)(line)) === i);
  const rivals = data.rivals.filter(({ section }) => section === 'attention');
  return loads.map((load) => {
    const strategies = lines.filter(sameBy(ATTENTION_LOAD)(load)).sort((a, b) => a.us - b.us);
    // Attention over a full padded batch without a mask computes something else.
    const rival = fastest(rivals.filter(sameBy(ATTENTION_LOAD)(load)), '_us', ['sdpa_unmasked_us']);
    return { load, strategies, rival, ratio: rival && rival.value / strategies[0].us };
  });
}

/** Of an experiment. */
export const kernels = (data, experiment) =>
  measured(data.kernels).filter((line) => line.experiment === experiment);

/** What failed: the lines with an error, of padless and of its rivals. */
export const failures = (data) =>
  [...data.endToEnd, ...data.kernels, ...data.rivals].filter((line) =>
    Object.keys(line).some((key) => /(^|_)error$/.test(key)),
  );
