// What the report and the documentation read from a results file.
import { median } from './statistics.mjs';

export const DTYPES = ['f32', 'bf16', 'int8'];
export const MODEL_TITLES = {
  minilm: 'MiniLM shape',
  base: 'BERT-base shape',
  deberta: 'DeBERTa-v3-base shape',
};

export const groupsOf = ({ groups }, part, model, dtype) =>
  groups.filter(
    (group) => group.part === part && (!model || group.model === model) && (!dtype || group.dtype === dtype),
  );

export const padlessOf = ({ contestants }) => contestants.find(({ name }) => name === 'padless');

/** The rival with the lowest time in the final rounds; undefined without rivals. */
export function bestRival({ contestants }) {
  return contestants
    .filter(({ name, ms }) => name !== 'padless' && ms !== undefined)
    .sort((a, b) => a.ms - b.ms)[0];
}

/** How many times as fast as the best rival padless is; undefined without rivals. */
export function ratioToBest(group) {
  const rival = bestRival(group);
  return rival && rival.ms / padlessOf(group).ms;
}

/** No sample of padless or its best rival was taken at the machine's full speed. */
export const isNoisy = (group) =>
  [padlessOf(group), bestRival(group)].some((entry) => entry?.keptSamples === 0);

/** A chip's clock under work is not below this share of the rested one: less was measured beside a neighbour. */
const LOWEST_CLOCK = 0.75;

/** The share of the roof at the clock of the work; undefined where no sample says it. */
export function fractionAtWork({ fractionOfRoof, samples }) {
  const lost = samples
    .filter(({ roof, roofAtWork }) => roofAtWork >= LOWEST_CLOCK * roof)
    .map(({ roof, roofAtWork }) => roof / roofAtWork);
  return lost.length > 0 ? fractionOfRoof * median(lost) : undefined;
}

export const distinct = (values) => [...new Set(values)];
export const integer = (value) => Math.round(value).toLocaleString('en-US');
export const milliseconds = (value) => (value < 100 ? value.toPrecision(3) : integer(value));
export const percent = (value) => `${(100 * value).toFixed(0)}%`;
export const times = (value) => `${value.toFixed(2)}x`;

/** One line about the machine and the roof that was measured on it. */
export function machineLine({ machine, options, roof }) {
  const giga = (value) => integer(value / 1e9);
  const by = (kind) => (roof.instructions ? ` (${roof.instructions[kind]})` : '');
  return (
    `${machine.cpu}, ${options.threads} threads of ${machine.cpus} CPUs; ` +
    `roof ${giga(roof.f32)} GFLOP/s f32${by('f32')}, ${giga(roof.bf16)} bf16${by('bf16')}, ` +
    `${giga(roof.int8)} GOP/s int8${by('int8')}, ${giga(roof.read)} GB/s read`
  );
}
