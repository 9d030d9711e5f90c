// What is measured, in the order of its worth: a run that ends early has done what matters most.

const BATCH_COUNTS = [1, 4, 16, 64, 256, 1024];
const LENGTHS = [16, 32, 64, 128, 256, 512];
const LENGTH_TOKENS = 4096;
/** Sequences of 512 tokens: about as long a sample for either shape. */
const UNIFORM = { minilm: ['8x512'], base: ['2x512'] };
/** The rival that most Node services call, as they call it: one batch padded to its longest. */
const PADDED = { minilm: ['W2'] };
const PADDED_RIVALS = ['onnxruntime-node'];
/** The shape on which cost by batch and length is measured. */
const SCALED = 'minilm';
/** Models that are measured in one place only: DeBERTa against transformers on passages. */
const NARROW = { deberta: { dtypes: ['f32'], workloads: ['W2'], parts: ['workloads'] } };

function allowed(options, model, key) {
  const narrow = NARROW[model]?.[key];
  return narrow ? options[key].filter((name) => narrow.includes(name)) : options[key];
}

function withRivals(options, model, dtype) {
  const parts = allowed(options, model, 'parts');
  const groups = {
    workloads: allowed(options, model, 'workloads'),
    padded: dtype === 'f32' ? (PADDED[model] ?? []) : [],
    uniform: UNIFORM[model] ?? [],
  };
  return Object.entries(groups)
    .filter(([part]) => parts.includes(part))
    .flatMap(([part, workloads]) =>
      workloads.map((workload) => ({
        part,
        workload,
        ...(part === 'padded' && { modes: ['padded'], only: PADDED_RIVALS }),
      })),
    );
}

function alone({ parts }, model) {
  if (model !== SCALED) return [];
  const groups = {
    batch: BATCH_COUNTS.map((count) => `${count}x64`),
    length: LENGTHS.map((length) => `${LENGTH_TOKENS / length}x${length}`),
  };
  return Object.entries(groups)
    .filter(([part]) => parts.includes(part))
    .flatMap(([part, workloads]) => workloads.map((workload) => ({ part, workload })));
}

/**
 * Stages of a run, each with processes of its own: {model, dtype, rivals, groups}, or {model, dtype, memory: true}.
 * A group is {key, part, workload}; `only` names the rivals that take part, `modes` how they are called.
 */
export function stages(options) {
  const precisions = options.models.flatMap((model) =>
    allowed(options, model, 'dtypes').map((dtype) => ({ model, dtype })),
  );
  const keyed = ({ model, dtype }, groups) =>
    groups.map((group) => ({ ...group, key: `${model}/${dtype}/${group.part}/${group.workload}` }));
  const compared = precisions.map((one) => ({
    ...one,
    rivals: options.rivals,
    groups: keyed(one, withRivals(options, one.model, one.dtype)),
  }));
  const memory = precisions
    .filter(({ model }) => allowed(options, model, 'parts').includes('memory'))
    .map((one) => ({ ...one, memory: true, groups: [] }));
  const scaled = precisions.map((one) => ({
    ...one,
    rivals: [],
    groups: keyed(one, alone(options, one.model)),
  }));
  return [...compared, ...memory, ...scaled].filter((stage) => stage.memory || stage.groups.length > 0);
}
