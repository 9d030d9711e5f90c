import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { RIVALS } from './contestants.mjs';
import { SHAPES } from './models.mjs';
import { lengthsOf } from './workloads.mjs';

export const USAGE = `npm run bench:cpu -- [options]

  --models minilm,base,deberta  shapes, random weights; deberta on W2 in f32 alone
  --dtypes f32,bf16,int8
  --workloads W1,W2,W3,W4       or COUNTxLENGTH; none: no workloads
  --lengths 5,512,33            one more workload: a sequence of each length
  --parts workloads,uniform,padded,batch,length,memory
                                uniform: 512 tokens a sequence; padded: W2 as most people call onnxruntime-node;
                                batch: 64 to 65,536 tokens; length: 4096 tokens in sequences of 16 to 512;
                                memory: peak and time to the first result
  --rivals NAME,...             all that are installed; none: padless alone
  --finalists 2                 families of rivals that go on from the qualifying round
  --rounds 5                    samples of each finalist
  --seed 1                      of weights, lengths and ids
  --threads N                   all CPUs
  --isa auto                    or amx, avx512, avx2, portable: padless and the roof with these instructions
                                alone, and without rivals, which take what the chip has
  --patience 90                 seconds that the run may wait for the machine's full speed
  --minutes 12                  no group begins later; --resume goes on
  --python python3              with torch, transformers, onnx, onnxruntime (bench/cpu/rivals/requirements.txt)
  --modules DIR                 node_modules with onnxruntime-node, @huggingface/transformers
  --data DIR                    models and workloads are made here
  --output FILE                 JSON; the HTML report lies beside it
  --resume                      keep the groups that FILE already has
  --report FILE                 measure nothing: write the HTML report of results that are there

Rivals are installed by hand:
  npm install --prefix bench/cpu/rivals --no-package-lock --ignore-scripts
  python3 -m pip install -r bench/cpu/rivals/requirements.txt
`;

const PARTS = ['workloads', 'uniform', 'padded', 'batch', 'length', 'memory'];
const DTYPES = ['f32', 'bf16', 'int8'];
const ISAS = ['auto', 'amx', 'avx512', 'avx2', 'neon', 'portable'];
const RIVAL_NAMES = RIVALS.map(({ name }) => name);

class UsageError extends Error {}

function list(text, option, known) {
  const values = text === 'none' ? [] : text.split(',').filter(Boolean);
  const unknown = values.find((value) => !known(value));
  if (unknown !== undefined) throw new UsageError(`--${option}: there is no "${unknown}"`);
  return values;
}

function whole(text, option, least) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least)
    throw new UsageError(`--${option} must be an integer of at least ${least}`);
  return value;
}

/** The options of the command line; throws UsageError. */
export function readOptions(root) {
  const text = (value) => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: {
      models: text('minilm,base,deberta'),
      dtypes: text(DTYPES.join(',')),
      workloads: text('W1,W2,W3,W4'),
      lengths: text('none'),
      parts: text(PARTS.join(',')),
      rivals: text(RIVAL_NAMES.join(',')),
      finalists: text('2'),
      rounds: text('5'),
      seed: text('1'),
      threads: text(String(availableParallelism())),
      isa: text('auto'),
      patience: text('90'),
      minutes: text('12'),
      python: text('python3'),
      modules: text(join(root, 'bench/cpu/rivals/node_modules')),
      data: text(join(root, '.cache/bench')),
      output: { type: 'string' },
      resume: { type: 'boolean', default: false },
      report: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  const seed = whole(values.seed, 'seed', 0);
  const [isa] = list(values.isa, 'isa', (name) => ISAS.includes(name));
  const known = (name) => lengthsOf(name, seed) !== undefined;
  const workloads = list(values.workloads, 'workloads', known);
  const lengths = list(values.lengths, 'lengths', known);
  return {
    ...values,
    models: list(values.models, 'models', (name) => Object.hasOwn(SHAPES, name)),
    dtypes: list(values.dtypes, 'dtypes', (name) => DTYPES.includes(name)),
    workloads: lengths.length > 0 ? [...workloads, lengths.join('+')] : workloads,
    parts: list(values.parts, 'parts', (name) => PARTS.includes(name)),
    isa,
    rivals: list(isa === 'auto' ? values.rivals : 'none', 'rivals', (name) => RIVAL_NAMES.includes(name)),
    finalists: whole(values.finalists, 'finalists', 1),
    rounds: whole(values.rounds, 'rounds', 1),
    seed,
    threads: whole(values.threads, 'threads', 1),
    patience: whole(values.patience, 'patience', 0),
    minutes: whole(values.minutes, 'minutes', 1),
  };
}
