import type { TensorLocation } from './families';
import type { TaskHead, TaskHeadStep } from './heads/task_head';
import type { Activation } from './spec';

/** Something computed of every token besides the task head, and where its tensors are under padless's names. */
export interface Projection {
  head: Omit<TaskHead, 'task'>;
  tensors: Map<string, TensorLocation>;
}

/** A linear layer of a projection. */
export interface ProjectionLayer {
  weight: TensorLocation;
  bias?: TensorLocation;
  inFeatures: number;
  outFeatures: number;
  activation: Activation;
}

/** Projection number `index` of a model: its layers, and L2 normalisation of what they give. */
export function tokenProjection(
  index: number,
  layers: readonly ProjectionLayer[],
  normalize: boolean,
): Projection {
  const tensors = new Map<string, TensorLocation>();
  const steps = layers.map(({ weight, bias, inFeatures, outFeatures, activation }, i): TaskHeadStep => {
    const weights = `projections.${index}.${i}`;
    tensors.set(`${weights}.weight`, weight);
    if (bias) tensors.set(`${weights}.bias`, bias);
    return { kind: 'dense', weights, inFeatures, outFeatures, activation };
  });
  const width = layers.at(-1)!.outFeatures;
  if (normalize) steps.push({ kind: 'normalize', inFeatures: width, outFeatures: width });
  return { head: { perToken: true, width, from: 'tokens', mean: false, steps }, tensors };
}
