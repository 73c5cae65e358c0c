/** A primary or secondary played by hand over the simulated network: bytes out, frames in. */
import { encodeFrame, FrameReader } from '../../src/protocol/hast-message.ts';
import type { Frame } from '../../src/protocol/hast-message.ts';
import type { NvField } from '../../src/protocol/nv.ts';
import type { SimConnection } from '../../src/simulate/sim-net.ts';
import type { SimName, SimPair } from '../../src/simulate/sim-node.ts';
import { otherOf } from '../../src/simulate/sim-node.ts';

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
  /** Nothing of what comes is read any more. */
  stopReading(): void {
    this.#connection.full = true;
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

export const u64 = (name: string, value: number | bigint): NvField => ({ name, type: 'uint64', value });
export const u8 = (name: string, value: number): NvField => ({ name, type: 'uint8', value });
export const text = (name: string, value: string): NvField => ({ name, type: 'string', value });

/** A plain primary that never met this secondary's disk. */
export const VIRGIN: readonly NvField[] = [
  { name: 'virgin', type: 'int8', value: 1 },
  u64('resuid', 4660),
  u64('localcnt', 0),
  u64('remotecnt', 0),
];

/** Both connections of a plain primary to beta, and the answers to its handshake. */
export async function shakeHands(
  pair: SimPair,
  request: readonly NvField[],
  version = 2,
): Promise<{ one: Wire; two: Wire; hello: Frame; reply: Frame }> {
  const name = text('resource', pair.beta.resource);
  const one = await Wire.to(pair, 'beta');
  one.send([name, u8('version', version)], undefined, 1);
  const hello = await one.next();
  const token = hello.nv.bytes('token');
  if (token === undefined) throw new Error(`refused: ${hello.nv.string('errmsg') ?? ''}`);
  const two = await Wire.to(pair, 'beta');
  two.send([name, { name: 'token', type: 'bytes', value: Buffer.from(token) }, ...request]);
  return { one, two, hello, reply: await one.next() };
}

/** Both connections of alpha to a plain secondary that is played at beta, and that alpha's disk is the source for. */
export async function meetPlainPrimary(pair: SimPair, ms = 20_000): Promise<{ one: Wire; two: Wire }> {
  const wires: Wire[] = [];
  pair.net.listen('beta', (connection) => wires.push(new Wire(pair, connection)));
  await pair.clock.run(ms, () => wires[0]?.frames.length === 1);
  wires[0]?.send([u8('version', 2), { name: 'token', type: 'bytes', value: Buffer.alloc(16, 7) }]);
  await pair.clock.run(3000, () => wires[1]?.frames.length === 1);
  const [one, two] = wires;
  if (one === undefined || two === undefined) throw new Error('the primary did not come');
  const { datasize, extentsize } = await pair.alpha.snapshot();
  one.frames.splice(0);
  one.send([
    { name: 'datasize', type: 'int64', value: datasize },
    { name: 'extentsize', type: 'int32', value: extentsize },
    u64('resuid', 4660),
    u64('localcnt', 0),
    u64('remotecnt', 0),
    u8('syncsrc', 1),
  ]);
  return { one, two };
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
