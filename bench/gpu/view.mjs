// What the files of scripts/verify-gpu.sh say: used by its table and by docs/performance.md.

const LOAD = ['experiment', 'model', 'batch', 'cap', 'kind', 'seed'];
const ATTENTION_LOAD = ['experiment', 'batch', 'cap', 'heads', 'headDim', 'kind', 'seed'];

const sameBy = (keys) => (a) => (b) => keys.every((key) => a[key] === b[key]);
const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
const measured = (lines) => lines.filter(({ error }) => error === undefined);
export const geometricMean = (numbers) => Math.exp(sum(numbers.map(Math.log)) / numbers.length);

/** A load in a few words. */
export const loadName = ({ batch, cap, kind, seed }) =>
  `${batch} x ${cap}, ${seed > 1 ? `${kind}, seed ${seed}` : kind}`;

/** All that rivals measured on a load, as one object. */
const together = (lines) => Object.assign({}, ...lines);

/** The fastest mode of a rival: {name, value} of the least field that ends in `suffix`, or undefined. */
function fastest(measured, suffix, except = []) {
  const modes = Object.entries(measured)
    .filter(([key]) => key.endsWith(suffix) && !except.includes(key))
    .map(([key, value]) => ({ name: key.slice(0, -suffix.length), value }));
  return modes.sort((a, b) => a.value - b.value)[0];
}

/** Whole encoders beside PyTorch: {line, rivals, rival, ratio}; of all that rivals measured `rival` is the fastest, and
 * undefined where none ran. */
export function endToEnd(data) {
  const rivals = data.rivals.filter(({ section }) => section === 'bert');
  return measured(data.endToEnd).map((line) => {
    const theirs = together(rivals.filter(sameBy(LOAD)(line)));
    const rival = fastest(theirs, '_ms');
    return { line, rivals: theirs, rival, ratio: rival && rival.value / line.ms };
  });
}

/** Products as they are planned, beside cuBLASLt: {line, ratio}. */
export const products = (data) =>
  kernels(data, 'gemm')
    .filter(({ op }) => op !== 'linear_plan' && op !== 'linear_portable')
    .map((line) => ({ line, ratio: line.cublaslt_us && line.cublaslt_us / line.us }));

/** Products that another plan computes faster than the planner's: {line, best, ratio}, the worst choice first. */
export function misplanned(data) {
  const lines = kernels(data, 'gemm');
  const sizes = ({ name }) => name.slice(0, name.indexOf(']'));
  const plans = (line) => lines.filter((each) => each.op === 'linear_plan' && sizes(each) === sizes(line));
  return lines
    .filter(({ op }) => op === 'linear')
    .flatMap((line) => {
      const [best] = plans(line).sort((a, b) => a.us - b.us);
      return best && best.us < line.us ? [{ line, best, ratio: line.us / best.us }] : [];
    })
    .sort((a, b) => b.ratio - a.ratio);
}

/** Attention alone, a load each: {load, strategies fastest first, planned, rivals, rival, ratio}; `planned` is what an
 * engine does by default. */
export function attention(data, experiment) {
  const lines = kernels(data, experiment);
  const loads = lines.filter((line, i) => lines.findIndex(sameBy(ATTENTION_LOAD)(line)) === i);
  const rivals = data.rivals.filter(({ section }) => section === 'attention');
  return loads.map((load) => {
    const strategies = lines.filter(sameBy(ATTENTION_LOAD)(load)).sort((a, b) => a.us - b.us);
    const planned = strategies.find(({ strategy, sorted }) => strategy === 'auto' && !sorted);
    const theirs = together(rivals.filter(sameBy(ATTENTION_LOAD)(load)));
    // Attention over a full padded batch without a mask computes something else.
    const rival = fastest(theirs, '_us', ['sdpa_unmasked_us']);
    return {
      load,
      strategies,
      planned,
      rivals: theirs,
      rival,
      ratio: rival && rival.value / strategies[0].us,
    };
  });
}

const planOf = ({ strategy, edges = [], streams }) => ({ strategy, edges, streams });

/** {device, plan, ratio}: the plan of attention with the least geometric mean of times over the loads that all plans
 * have done, and how much faster it is than what engines do by default; undefined without measurements. */
export function fastestPlan(data) {
  const loads = ['e3', 'e4']
    .flatMap((experiment) => attention(data, experiment))
    .filter(({ load, planned }) => load.headDim === 64 && planned && load.sms);
  if (loads.length === 0) return undefined;
  const timesOf = new Map();
  for (const { strategies } of loads) {
    for (const line of strategies) {
      if (line.sorted || !['single', 'grouped', 'persistent'].includes(line.strategy)) continue;
      const key = JSON.stringify(planOf(line));
      timesOf.set(key, [...(timesOf.get(key) ?? []), line.us]);
    }
  }
  const [best] = [...timesOf]
    .filter(([, times]) => times.length === loads.length)
    .map(([key, times]) => ({ plan: JSON.parse(key), mean: geometricMean(times) }))
    .sort((a, b) => a.mean - b.mean);
  if (!best) return undefined;
  const { device, compute_capability, sms } = loads[0].load;
  const now = geometricMean(loads.map(({ planned }) => planned.us));
  return { device: { device, compute_capability, sms }, plan: best.plan, ratio: now / best.mean };
}

/** Of an experiment. */
export const kernels = (data, experiment) =>
  measured(data.kernels).filter((line) => line.experiment === experiment);

/** What failed: the lines with an error, of padless and of its rivals. */
export const failures = (data) =>
  [...data.endToEnd, ...data.kernels, ...data.rivals].filter((line) =>
    Object.keys(line).some((key) => /(^|_)error$/.test(key)),
  );
