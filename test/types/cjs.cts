import padless = require('padless');

export async function embed(): Promise<Float32Array> {
  const embedder: padless.Embedder = await padless.Embedder.load('model');
  const vectors = await embedder.embed('text');
  return vectors.data;
}
// @ts-expect-error there is no such device option
padless.device({ nmae: 'cpu' });
