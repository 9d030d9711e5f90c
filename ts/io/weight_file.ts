import { fromNative } from '../errors';
import { addon, type NativeSafetensors } from '../native';
import { orPointer } from './lfs_pointer';

/** Maps a safetensors file and checks its header. */
export async function openWeights(file: string): Promise<NativeSafetensors> {
  try {
    return await addon.openSafetensors(file);
  } catch (error) {
    throw await orPointer(fromNative(error), file);
  }
}
