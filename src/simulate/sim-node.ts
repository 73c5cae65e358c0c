/** Two nodes with one resource: real engines on a virtual disk, network and clock. */
import type { BlockDevice, ZeroOptions } from '../model/block-device.ts';
import { DiskError } from '../model/errors.ts';
import type { Epoch } from '../model/record.ts';
import type { ReplicationMode } from '../model/roles.ts';
import { DEFAULT_TIMING, type Timing } from '../model/timing.ts';
import { createEngine, createMetadata } from '../replication/engine.ts';
import type { Engine } from '../replication/engine.ts';
import type { EngineCommand, EngineEvent, EngineSetup, EngineSnapshot } from '../replication/messages.ts';
import type { AloneNeeds } from '../model/without-peer.ts';
import type { EnginePorts, LeasePort } from '../replication/ports.ts';
import { FrameReader } from '../protocol/hast-message.ts';
import { SimClock, SimRandom } from './sim-clock.ts';
import { SimDisk } from './sim-disk.ts';
import { SimNet } from './sim-net.ts';

export type SimName = 'alpha' | 'beta';
export const otherOf = (name: SimName): SimName => (name === 'alpha' ? 'beta' : 'alpha');

export interface SimOptions {
  /** Of the resource; `disk`. */
  readonly resource?: string;
  readonly sizeBytes?: number;
  readonly extentsize?: number;
  readonly keepdirty?: number;
  readonly replication?: ReplicationMode;
  readonly peerKind?: 'hastate' | 'hastd';
  readonly checksum?: 'none' | 'crc32' | 'sha256';
  readonly compression?: 'none' | 'hole' | 'lzf';
  /** Nodes whose disks punch holes. */
  readonly punches?: readonly SimName[];
  /** Keys of the pair's secret, where a node has one. */
  readonly secrets?: Partial<Record<SimName, Buffer>>;
  /** Bytes per second. */
  readonly resyncRate?: number;
  /** `remote none`: alpha has no other node. */
  readonly single?: boolean;
  /** False: somebody else plays the peer channel. */
  readonly hears?: boolean;
}

export class SimLease implements LeasePort {
  alive = -Infinity;
  at = -Infinity;
  epoch = 0;
  aliveAt(): number {
    return this.alive;
  }
  heardAt(): number {
    return this.at;
  }
  renew(at: number): void {
    this.alive = Math.max(this.alive, at);
  }
  heard(at: number): void {
    this.at = Math.max(this.at, at);
  }
  peerEpochNumber(): number {
    return this.epoch;
  }
  needs: AloneNeeds = 'silence';
  references = -Infinity;
  fenced = -Infinity;
  aloneNeeds(): AloneNeeds {
    return this.needs;
  }
  referencesAt(): number {
    return this.references;
  }
  fencedAt(): number {
    return this.fenced;
  }
}

export class SimNode {
  readonly name: SimName;
  readonly disk: SimDisk;
  readonly events: EngineEvent[] = [];
  lease = new SimLease();
  engine: Engine | null = null;
  device: BlockDevice | null = null;
  /** The last snapshot of an event. */
  seen: EngineSnapshot | null = null;
  onEvent: (event: EngineEvent) => void = () => undefined;
  readonly #pair: SimPair;
  /** Why the state directory cannot be written, or null. */
  sidecarFault: string | null = null;
  /** What the state directory takes to be written. ms */
  sidecarMs = 0.2;
  #sidecar: Buffer | null = null;
  #life = 0;
  #wakesAt = -Infinity;

  constructor(pair: SimPair, name: SimName) {
    this.#pair = pair;
    this.name = name;
    this.disk = new SimDisk(pair.clock, pair.random, pair.options.sizeBytes ?? 4 * 1024 * 1024);
    if (pair.options.punches?.includes(name) === true) this.disk.canPunch();
    this.create();
  }

  /** `hastate create`. */
  create(): void {
    const { extentsize = 65536, keepdirty = 4 } = this.#pair.options;
    const { block, map } = createMetadata(this.resource, this.disk.sizeBytes, 512, { extentsize, keepdirty });
    for (const image of [this.disk.content, this.disk.durable]) {
      block.copy(image, 0);
      map.copy(image, 4096);
    }
    this.#sidecar = null;
  }

  get resource(): string {
    return this.#pair.options.resource ?? 'disk';
  }
  get up(): boolean {
    return this.engine !== null;
  }
  get dataOffset(): number {
    return (
      4096 +
      createMetadata(this.resource, this.disk.sizeBytes, 512, {
        extentsize: this.#pair.options.extentsize ?? 65536,
        keepdirty: 1,
      }).map.length
    );
  }
  get data(): Buffer {
    return this.disk.content.subarray(this.dataOffset);
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind);
  }

  start(): Promise<EngineSnapshot> {
    this.lease = new SimLease();
    return this.#pair.clock.finish(this.open(this.lease));
  }

  /** As start(), with the clock in the caller's hand. */
  async open(lease: LeasePort, timing: Timing = DEFAULT_TIMING): Promise<EngineSnapshot> {
    const { clock, net, options } = this.#pair;
    const life = ++this.#life;
    const random = this.#pair.random;
    const setup: EngineSetup = {
      resource: {
        name: this.resource,
        provname: this.resource,
        local: '/sim',
        remote: options.single === true ? null : otherOf(this.name),
        source: null,
        replication: options.replication ?? 'memsync',
        checksum: options.checksum ?? 'none',
        compression: options.compression ?? 'none',
        timeoutMs: 20_000,
        exec: null,
        metaflush: true,
        peer: options.single === true ? null : otherOf(this.name),
      },
      node: this.name,
      boot: random.id(),
      timing,
      peerKind: options.peerKind ?? 'hastate',
      linkKey: options.secrets?.[this.name] ?? null,
      resyncRate: options.resyncRate ?? 0,
      stateDir: '/sim',
      leaseMemory: new SharedArrayBuffer(8),
    };
    const ports: EnginePorts = {
      // A dead process has no timers.
      clock: {
        now: () => clock.now(),
        after: (ms, run) => {
          let cancel = (): void => undefined;
          const due = (): void => {
            if (life !== this.#life) return;
            const rest = this.#wakesAt - clock.now();
            if (rest > 0) cancel = clock.after(rest, due);
            else run();
          };
          cancel = clock.after(ms, due);
          return () => cancel();
        },
      },
      random,
      disk: this.disk,
      sidecar: {
        load: () => Promise.resolve(this.#sidecar),
        store: async (content) => {
          await new Promise<void>((resolve) => clock.after(this.sidecarMs, resolve));
          if (this.sidecarFault !== null) throw new DiskError('sidecar-write', this.sidecarFault);
          if (life === this.#life) this.#sidecar = content;
          else await new Promise(() => undefined);
        },
      },
      connector:
        options.single === true
          ? null
          : { connect: (timeoutMs, signal) => net.connect(this.name, otherOf(this.name), timeoutMs, signal) },
      lease,
      exporter: {
        open: (device) => {
          this.device = device;
          return Promise.resolve({ socket: '/sim', name: 'disk' });
        },
        close: () => {
          this.device = null;
          return Promise.resolve();
        },
      },
    };
    const engine = createEngine(setup, ports, (event) => {
      if (life !== this.#life) return;
      this.events.push(event);
      if (event.snapshot !== null) this.seen = event.snapshot;
      this.onEvent(event);
    });
    const snapshot = await engine.open();
    this.engine = engine;
    net.listen(this.name, (connection) => {
      // The main thread reads the first frame and hands the connection over with it.
      const reader = new FrameReader({ maxNvBytes: 65536, maxDataBytes: 1 << 20 });
      let head = Buffer.alloc(0);
      connection.onData((chunk) => {
        head = Buffer.concat([head, chunk]);
        if (reader.push(chunk).length > 0 && life === this.#life) engine.adopt(connection, head);
      });
    });
    return snapshot;
  }

  /** The process stands still for `ms`: no timer fires. Make the network silent meanwhile; its disk must be idle. */
  suspend(ms: number): void {
    this.#wakesAt = this.#pair.clock.now() + ms;
  }

  /** `power`: the disk's cache is lost and nobody is told; else the process dies and its kernel says so. */
  crash(how: 'power' | 'process'): void {
    this.#life++;
    this.engine = null;
    this.device = null;
    this.seen = null;
    this.#pair.net.nodeDied(this.name, how === 'process');
    if (how === 'power') this.disk.powerCut();
    else this.disk.processDied();
  }

  /** Runs the clock until the command is answered. */
  run(command: EngineCommand): Promise<EngineSnapshot> {
    if (this.engine === null) throw new Error(`${this.name} is down`);
    return this.#pair.clock.finish(this.engine.handle(command));
  }

  async snapshot(): Promise<EngineSnapshot> {
    if (this.engine === null) throw new Error(`${this.name} is down`);
    return this.engine.handle({ type: 'snapshot' });
  }

  /** The virtual disk as an application sees it, with the clock running. */
  write(offset: number, data: Buffer, fua = false): Promise<string | null> {
    return this.#pair.clock.finish(this.submit(offset, data, fua));
  }
  submit(offset: number, data: Buffer, fua = false): Promise<string | null> {
    return new Promise((resolve) => {
      if (this.device === null) resolve('ESHUTDOWN');
      else this.device.write(offset, data, fua, resolve);
    });
  }
  /** As zero() or discard(), with the clock in the caller's hand. */
  begin(verb: 'zero' | 'discard', offset: number, length: number): Promise<string | null> {
    return new Promise((resolve) => {
      if (verb === 'discard') this.device?.discard(offset, length, false, resolve);
      else this.device?.zero(offset, length, { fua: false, mayPunch: true, fast: false }, resolve);
    });
  }
  zero(offset: number, length: number, options: Partial<ZeroOptions> = {}): Promise<string | null> {
    const { fua = false, mayPunch = true, fast = false } = options;
    return this.#pair.clock.finish(
      new Promise((resolve) => this.device?.zero(offset, length, { fua, mayPunch, fast }, resolve)),
    );
  }
  discard(offset: number, length: number, fua = false): Promise<string | null> {
    return this.#pair.clock.finish(
      new Promise((resolve) => this.device?.discard(offset, length, fua, resolve)),
    );
  }
  flush(): Promise<string | null> {
    return this.#pair.clock.finish(new Promise((resolve) => this.device?.flush(resolve)));
  }
  read(offset: number, length: number): Promise<Buffer> {
    return this.#pair.clock.finish(
      new Promise((resolve, reject) =>
        this.device?.read(offset, length, (error, data) =>
          data === null ? reject(new Error(error ?? 'no data')) : resolve(data),
        ),
      ),
    );
  }
}

export class SimPair {
  readonly clock = new SimClock();
  readonly random: SimRandom;
  readonly net: SimNet;
  readonly options: SimOptions;
  readonly alpha: SimNode;
  readonly beta: SimNode;
  /** Both nodes hear each other beside the data link. */
  peerChannel = true;
  #epoch = 0;

  constructor(seed: number, options: SimOptions = {}) {
    this.random = new SimRandom(seed);
    this.options = options;
    this.net = new SimNet(this.clock, this.random);
    this.alpha = new SimNode(this, 'alpha');
    this.beta = new SimNode(this, 'beta');
    if (options.hears !== false) this.#hearEachOther();
  }

  node(name: SimName): SimNode {
    return name === 'alpha' ? this.alpha : this.beta;
  }

  nextEpoch(): Epoch {
    return { number: ++this.#epoch, id: this.random.id() };
  }

  /** Both up, alpha primary, beta in sync. */
  async join(): Promise<void> {
    await this.alpha.start();
    await this.beta.start();
    await this.beta.run({ type: 'become-secondary' });
    await this.promote(this.alpha, ['alpha']);
    await this.untilInSync(this.beta);
  }

  async promote(node: SimNode, inSync: readonly string[]): Promise<Epoch> {
    const epoch = this.nextEpoch();
    await node.run({ type: 'prepare-primary', epoch, inSync });
    await node.run({ type: 'become-primary', epoch });
    return epoch;
  }

  async untilInSync(secondary: SimNode, ms = 30_000): Promise<void> {
    const done = await this.clock.run(ms, () => {
      const primary = this.node(otherOf(secondary.name));
      return (
        secondary.seen?.freshness.kind === 'inSync' &&
        primary.seen?.record.inSync.length === 2 &&
        primary.seen.dataLinkUp &&
        primary.kinds().lastIndexOf('record') > primary.kinds().lastIndexOf('connected')
      );
    });
    if (!done) throw new Error(`${secondary.name} did not become in sync`);
  }

  /** The peer channel's heartbeats, and its answer to want-outdate. */
  #hearEachOther(): void {
    const beat = (): void => {
      this.clock.after(50, beat);
      if (!this.peerChannel || this.net.silent || !this.alpha.up || !this.beta.up) return;
      for (const node of [this.alpha, this.beta]) {
        node.lease.heard(this.clock.now());
        node.lease.renew(this.clock.now() - 1);
        node.lease.epoch = Math.max(
          node.lease.epoch,
          this.node(otherOf(node.name)).seen?.record.epoch.number ?? 0,
        );
      }
    };
    this.clock.after(50, beat);
    for (const node of [this.alpha, this.beta])
      node.onEvent = (event) => {
        if (event.kind !== 'want-outdate' || !this.peerChannel) return;
        const epoch = event.data?.['epoch'] as Epoch;
        this.clock.after(1, () => {
          if (this.net.silent) return;
          const other = this.node(otherOf(node.name));
          void other.engine?.handle({ type: 'outdate', epoch }).then(
            () => void node.engine?.handle({ type: 'peer-outdated', epoch }),
            () => undefined,
          );
        });
      };
  }
}
