import type { Device } from './device';
import { PadlessError, native, nativeAsync } from './errors';
import { Owner } from './handle';
import { addon, type NativeEvent, type NativeStream } from './native';
import type { Check } from './options';

/**
 * An ordered queue of work on one device, with a thread of its own on the CPU. Ops return at once; they run one
 * after another, and their results are ready for later ops of the same stream. An op that reads a tensor made on
 * another stream waits for that tensor by itself; events order everything else.
 *
 * @example
 * using stream = device('cpu').createStream();
 * const y = l2Normalize(x, { stream });
 * await stream.synchronize();
 */
export class Stream extends Owner<NativeStream> {
  readonly device: Device;

  /** @internal Use {@link Device.createStream}. */
  constructor(device: Device, handle: NativeStream) {
    super(handle, 'stream');
    this.device = device;
  }

  /**
   * Resolves when all work queued so far is done. An op that failed rejects it, once: with the error of the
   * first that nobody has been told about. Results of failed ops, and results made from those, reject on read.
   */
  async synchronize(): Promise<void> {
    await nativeAsync(() => this.native.synchronize());
  }

  /** Marks this point of the queue in `event`, a new one by default. */
  record(event: Event = this.device.createEvent()): Event {
    native(() => this.native.record(eventOf('Stream.record', event).native));
    return event;
  }

  /** Work queued from now on starts after the point last recorded in `event`; does nothing if there is none. */
  wait(event: Event): void {
    native(() => this.native.wait(eventOf('Stream.wait', event).native));
  }

  /** Takes no more work. What is queued still runs; nobody waits for it. Failures nobody asked for are dropped. */
  override dispose(): void {
    super.dispose();
  }
}

/** A point in a stream that other streams wait for, and that times are taken at. */
export class Event extends Owner<NativeEvent> {
  readonly device: Device;

  /** @internal Use {@link Device.createEvent}. */
  constructor(device: Device, handle: NativeEvent) {
    super(handle, 'event');
    this.device = device;
  }

  /** Whether the stream has reached the point last recorded; true if none was. */
  get isComplete(): boolean {
    return native(() => this.native.isComplete());
  }

  /**
   * Milliseconds from the point recorded in `start` to the point recorded here.
   *
   * @throws PadlessError E_INVALID_ARGUMENT unless both are complete and of one device.
   */
  millisecondsSince(start: Event): number {
    return native(() => this.native.millisecondsSince(eventOf('Event.millisecondsSince', start).native));
  }
}

function eventOf(where: string, value: unknown): Event {
  if (value instanceof Event) return value;
  throw new PadlessError('E_INVALID_ARGUMENT', `${where}: the event must be an Event.`, { field: 'event' });
}

/** An option that is a stream. */
export const streamOption: Check<Stream> = (value, fail) =>
  value instanceof Stream ? value : fail('a Stream');

/** @internal */
export function createStream(device: Device): Stream {
  return new Stream(
    device,
    native(() => addon.createStream(device.native)),
  );
}

/** @internal */
export function createEvent(device: Device): Event {
  return new Event(
    device,
    native(() => addon.createEvent(device.native)),
  );
}
