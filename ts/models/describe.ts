import { textLimit, type EncoderSpec, type LayerSpec, type RopeSpec } from './spec';

/** How far a layer's queries see. */
function spanWords({ causal, windowLeft, windowRight }: LayerSpec): string {
  const left = windowLeft < 0 ? 'all' : `${windowLeft}`;
  const right = causal ? '0' : windowRight < 0 ? 'all' : `${windowRight}`;
  return left === 'all' && right === 'all' ? 'full' : `${left} before, ${right} after`;
}

function ropeWords({ rotaryDim, frequencies, factor, interleaved, beyond }: RopeSpec): string {
  const slowest = frequencies.at(-1)!;
  return [
    `rope of ${rotaryDim}${interleaved ? ' interleaved' : ''}, slowest turn ${Math.round((2 * Math.PI) / slowest)} tokens`,
    factor !== 1 && `factor ${factor}`,
    beyond && `${beyond.frequencies ? 'other frequencies' : 'dynamic'} beyond ${beyond.length}`,
  ]
    .filter(Boolean)
    .join(', ');
}

function positionWords(spec: EncoderSpec): string {
  const words = spec.ropes.map(ropeWords);
  if (spec.positions.rows > 0) words.unshift(`table of ${spec.positions.rows} from ${spec.positions.offset}`);
  if (spec.bias) words.push(spec.bias.kind);
  return words.length > 0 ? words.join('; ') : 'none';
}

/** A count a kind of layer: "full x 8, 64 before, 64 after x 14". */
function attentionWords(layers: readonly LayerSpec[]): string {
  const counts = new Map<string, number>();
  for (const layer of layers) {
    const words = spanWords(layer);
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  return [...counts].map(([words, count]) => `${words} x ${count}`).join('; ');
}

/** A spec in a few plain values, for people. */
export function specFacts(spec: EncoderSpec): Record<string, unknown> {
  const {
    heads,
    kvHeads,
    headDim,
    hiddenSize,
    vocabSize,
    embeddings,
    norm,
    mlp,
    convolution,
    adapters,
    layers,
  } = spec;
  const distinct = new Set(spec.layers.map(({ weights }) => weights)).size;
  return {
    layers: spec.layers.length,
    ...(distinct < spec.layers.length && { distinctLayers: distinct }),
    hiddenSize,
    ...(embeddings.projection && { embeddingSize: embeddings.width }),
    heads,
    ...(kvHeads !== heads && { keyValueHeads: kvHeads }),
    headDim,
    intermediateSize: mlp.intermediateSize,
    vocabSize,
    tokenTypes: spec.tokenTypes,
    maxLength: textLimit(spec, undefined),
    attention: attentionWords(spec.layers),
    positions: positionWords(spec),
    activation: mlp.activation,
    mlp: mlp.kind,
    ...(mlp.experts && {
      experts: `${mlp.experts.chosen} of ${mlp.experts.count} in ${layers.filter(({ experts }) => experts).length} layers`,
    }),
    norm,
    queryKeyNorm: spec.queryKeyNorm,
    ...(convolution && { convolution }),
    ...(adapters && { taskAdapters: `${adapters.names.join(', ')} of rank ${adapters.rank}` }),
    pooler: spec.pooler,
  };
}
