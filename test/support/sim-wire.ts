/** A primary or secondary played by hand over the simulated network: bytes out, frames in. */
import { encodeFrame, FrameReader } from '../../src/protocol/hast-message.ts';
import type { Frame } from '../../src/protocol/hast-message.ts';
import type { NvField } from '../../src/protocol/nv.ts';
import type { SimConnection } from './sim-net.ts';
import type { SimName, SimPair } from './sim-node.ts';
import { otherOf } from './sim-node.ts';

export class Wire {
  readonly frames: Frame[] = [];
  closed: string | null = null;
  readonly #pair: SimPair;
  readonly #connection: SimConnection;

  constructor(pair: SimPair, connection: SimConnection) {
    this.#pair = pair;
    this.#connection = connection;
    const reader = new FrameReader({ maxNvBytes: 65536, maxDataBytes: 1 << 20 });
    connection.onData((chunk) => this.frames.push(...reader.push(Buffer.from(chunk))));
    connection.onClose((reason) => (this.closed = reason));
  }

  /** Connects to a node as its peer would. */
  static async to(pair: SimPair, name: SimName): Promise<Wire> {
    const { signal } = new AbortController();
    return new Wire(pair, await pair.clock.finish(pair.net.connect(otherOf(name), name, 1000, signal)));
  }

  raw(bytes: Buffer): void {
    this.#connection.send(bytes);
  }
  send(fields: readonly NvField[], data?: Buffer, version = 2): void {
    this.raw(Buffer.concat(encodeFrame(version, fields, data)));
  }
  close(): void {
    this.#connection.close('done');
  }

  /** The next frame, with the clock running. */
  async next(ms = 5000): Promise<Frame> {
    await this.#pair.clock.run(ms, () => this.frames.length > 0 || this.closed !== null);
    const frame = this.frames.shift();
    if (frame === undefined)
      throw new Error(`no frame came within ${ms} ms (${this.closed ?? 'still open'})`);
    return frame;
  }

  /** As many frames as come in this time. */
  async all(ms: number): Promise<Frame[]> {
    await this.#pair.clock.run(ms);
    return this.frames.splice(0);
  }
}

/** A frame's fields as the captured indexes have them. */
export function fieldsOf(frame: Frame): Record<string, unknown> {
  return Object.fromEntries(
    frame.nv.fields().map((field) => {
      const { value } = field;
      if (typeof value === 'bigint') return [field.name, Number(value)];
      return [field.name, Buffer.isBuffer(value) ? value.toString('hex') : value];
    }),
  );
}
