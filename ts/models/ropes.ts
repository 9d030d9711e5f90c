import type { Reader } from './reader';
import type { RopeSpec } from './spec';

/** What a rope is read for. */
export interface RopeRequest {
  /** Size of a head; all of it turns. */
  headDim: number;
  /** Base where config.json names none. */
  theta?: number;
  /** Keys that older files have the base under, the first present one counting. */
  thetaNames?: readonly string[];
  /** For configs with a rope a kind of layer. */
  layerType?: 'full_attention' | 'sliding_attention';
  /** Whether `rope_scaling` of older files counts for this rope. */
  hasOldScaling?: boolean;
  /** Fixed NTK scaling, which only some families' code has. */
  hasNtk?: boolean;
}

interface Scaling {
  frequencies: number[];
  factor?: number;
  beyond?: RopeSpec['beyond'];
}

/** theta^(-2i / dim) for each pair. */
function plainFrequencies(theta: number, dim: number): number[] {
  return Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
}

/** Positions divided by a factor (arXiv:2306.15595). */
function linear(params: Reader, theta: number, dim: number): Scaling {
  const factor = params.number('factor', undefined, { min: 1 });
  return { frequencies: plainFrequencies(theta, dim).map((frequency) => frequency / factor) };
}

/** A larger base and slower turns, whatever the length: RoPE's NTK variant of GTE's own code. */
function ntk(params: Reader, theta: number, dim: number): Scaling {
  const factor = params.number('factor', undefined, { min: 1 });
  const slower = factor ** (2 / dim);
  return { frequencies: plainFrequencies(theta * factor, dim).map((frequency) => frequency / slower) };
}

/** A base that grows with the sequence beyond the trained length (dynamic NTK). */
function dynamic(params: Reader, theta: number, dim: number, config: Reader): Scaling {
  const factor = params.number('factor', undefined, { min: 1 });
  const length = config.integer('max_position_embeddings', { min: 1 });
  // Writers of config.json put the trained length here too; transformers goes by the other.
  params.raw('original_max_position_embeddings');
  return { frequencies: plainFrequencies(theta, dim), beyond: { length, theta, factor } };
}

function trainedLength(params: Reader, config: Reader): number {
  const key = 'original_max_position_embeddings';
  return (
    config.optionalInteger(key, { min: 1 }) ??
    params.optionalInteger(key, { min: 1 }) ??
    config.integer('max_position_embeddings', { min: 1 })
  );
}

/** The stretch of the context: `factor`, or the ratio of the lengths. */
function stretch(params: Reader, config: Reader, trained: number): number {
  return (
    params.optionalNumber('factor', { min: 1 }) ??
    config.integer('max_position_embeddings', { min: 1 }) / trained
  );
}

/** YaRN (arXiv:2309.00071): fast pairs stay, slow ones are interpolated, a ramp between; equations 18 to 22. */
function yarn(params: Reader, theta: number, dim: number, config: Reader): Scaling {
  const trained = trainedLength(params, config);
  const factor = stretch(params, config, trained);
  /** The pair that turns so often within the trained length. */
  const pairOf = (turns: number) => (dim * Math.log(trained / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const truncate = params.boolean('truncate', true);
  const fast = pairOf(params.number('beta_fast', 32, { min: 0 }));
  const slow = pairOf(params.number('beta_slow', 1, { min: 0 }));
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, dim - 1);
  const width = high === low ? 0.001 : high - low;
  const frequencies = plainFrequencies(theta, dim).map((frequency, i) => {
    const interpolated = Math.min(Math.max((i - low) / width, 0), 1);
    return frequency * (1 - interpolated) + (frequency / factor) * interpolated;
  });
  const temperature = (scale = 1) => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  const scale = params.optionalNumber('mscale');
  const scaleOfAll = params.optionalNumber('mscale_all_dim');
  const inferred = scale && scaleOfAll ? temperature(scale) / temperature(scaleOfAll) : temperature();
  return { frequencies, factor: params.optionalNumber('attention_factor', { min: 0 }) ?? inferred };
}

/** LongRoPE (arXiv:2402.13753): a factor a pair, other ones beyond the trained length. */
function longrope(params: Reader, theta: number, dim: number, config: Reader): Scaling {
  const trained = trainedLength(params, config);
  const factor = stretch(params, config, trained);
  const scaled = (name: string) => {
    const factors = params.raw(name);
    if (!Array.isArray(factors) || factors.length !== dim / 2 || !factors.every((one) => Number(one) > 0)) {
      throw params.error(name, `must be a list of ${dim / 2} positive numbers`);
    }
    return plainFrequencies(theta, dim).map((frequency, i) => frequency / Number(factors[i]));
  };
  const inferred = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained));
  return {
    frequencies: scaled('short_factor'),
    factor: params.optionalNumber('attention_factor', { min: 0 }) ?? inferred,
    beyond: { length: trained, frequencies: scaled('long_factor') },
  };
}

/** Llama 3.1 (arXiv:2407.21783): slow pairs are interpolated, fast ones stay, a ramp over the wavelength between. */
function llama3(params: Reader, theta: number, dim: number, config: Reader): Scaling {
  const trained = trainedLength(params, config);
  const factor = params.number('factor', undefined, { min: 1 });
  const low = params.number('low_freq_factor', undefined, { min: 0 });
  const high = params.number('high_freq_factor', undefined, { min: 0 });
  if (!(low < high)) throw params.error('high_freq_factor', `must be larger than "low_freq_factor" ${low}`);
  const frequencies = plainFrequencies(theta, dim).map((frequency) => {
    const turns = (trained * frequency) / (2 * Math.PI);
    const kept = Math.min(Math.max((turns - low) / (high - low), 0), 1);
    return frequency * kept + (frequency / factor) * (1 - kept);
  });
  return { frequencies };
}

const scalings = {
  default: (_: Reader, theta: number, dim: number): Scaling => ({
    frequencies: plainFrequencies(theta, dim),
  }),
  linear,
  dynamic,
  yarn,
  longrope,
  llama3,
};

/**
 * The rope of config.json, in the form of transformers 5 (`rope_parameters`, one or one a kind of layer) or of
 * older versions (`rope_theta`, `rope_scaling`). A type or a parameter that is not understood is refused.
 */
export function readRope(config: Reader, request: RopeRequest): RopeSpec {
  const { headDim, layerType, hasOldScaling = true, thetaNames = ['rope_theta'] } = request;
  if (headDim % 2 !== 0) throw config.error('head_dim', `${headDim} is odd; rope turns pairs of columns`);
  const all = config.optionalObject('rope_parameters');
  const modern = layerType === undefined ? all : all?.optionalObject(layerType);
  const params = (hasOldScaling && config.optionalObject('rope_scaling')) || modern;
  const theta =
    params?.optionalNumber('rope_theta', { min: 1 }) ??
    modern?.optionalNumber('rope_theta', { min: 1 }) ??
    config.number(thetaNames, request.theta ?? 10000, { min: 1 });
  for (const field of [config, ...(params ? [params] : [])]) {
    const name = 'partial_rotary_factor';
    const part = field.optionalNumber(name);
    if (part !== undefined && part !== 1)
      throw field.error(name, `is ${part}; only 1 is supported`, 'E_UNSUPPORTED');
  }
  const known = request.hasNtk ? { ...scalings, ntk } : scalings;
  const words = Object.keys(known) as (keyof typeof scalings)[];
  const type = params?.oneOf(['rope_type', 'type'], words, 'default') ?? 'default';
  const { frequencies, factor = 1, beyond } = known[type](params ?? config, theta, headDim, config);
  const [unknown] = type === 'default' ? [] : (params?.unread() ?? []);
  if (unknown !== undefined) {
    throw params!.error(
      unknown,
      `is a parameter of rope type "${type}" that is not supported`,
      'E_UNSUPPORTED',
    );
  }
  return { rotaryDim: headDim, interleaved: false, frequencies, factor, ...(beyond && { beyond }) };
}
