/**
 * The replication engine of one resource: its roles and commands. Pure: disk, link, clock, random
 * numbers and shared memory are ports.
 * @see SAFETY, protocols: hast
 */
import type { Buffer } from 'node:buffer';
import { DiskError, EngineError } from '../model/errors.ts';
import { compareEpochs, promoted } from '../model/record.ts';
import type { Epoch } from '../model/record.ts';
import { changesLink } from '../model/resource-changes.ts';
import type { HastRole } from '../model/roles.ts';
import { learnFromSettings } from './ack-mode.ts';
import { Acceptor } from './acceptor.ts';
import { describeEpoch, namesPeer, noCounters, within } from './core.ts';
import type { EngineCore } from './core.ts';
import {
  commitMap,
  discardCopy,
  distrust,
  flushLocal,
  freshnessAsSaid,
  freshnessAtStart,
  outdate,
  refuseGivenUp,
  refuseIncomplete,
  rest,
  openMap,
} from './disk-truth.ts';
import { boundDurableWrites, DiskWatch, HANGING_MS } from './disk-watch.ts';
import type { Engine } from './engine-interface.ts';
import { refuseOldEpoch, takeBackRelease } from './epoch-rules.ts';
import type { EngineCommand, EngineEvent, EngineSetup, EngineSnapshot } from './messages.ts';
import { METADATA_BYTES } from '../protocol/hast-metadata.ts';
import { dirtyBits } from './map-image.ts';
import { copyNews, MetadataStore } from './metadata-store.ts';
import { Peering } from './peering.ts';
import type { ConnectionPort, EnginePorts } from './ports.ts';
import { RangeLock } from './rangelock.ts';
import { Secondary } from './secondary.ts';
import { snapshotOf } from './snapshot.ts';
import { orderVerify } from './verify-order.ts';

export type { Engine } from './engine-interface.ts';
export { createMetadata } from './metadata-store.ts';

export function createEngine(
  setup: EngineSetup,
  ports: EnginePorts,
  emit: (event: EngineEvent) => void,
): Engine {
  return new ResourceEngine(setup, ports, emit);
}

type PrepareCommand = Extract<EngineCommand, { type: 'prepare-primary' }>;

class ResourceEngine implements Engine {
  #setup: EngineSetup;
  readonly #ports: EnginePorts;
  readonly #emit: (event: EngineEvent) => void;
  #core: EngineCore | null = null;
  #role: HastRole = 'init';
  #secondary: Secondary | null = null;
  #acceptor: Acceptor | null = null;
  #peering: Peering | null = null;
  #export: EngineSnapshot['export'] = null;
  /** A3: after a promotion without the peer an earlier primary may still answer for H. */
  #aloneConfirmed = true;
  #downAt: number | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  #watch: DiskWatch | null = null;

  constructor(setup: EngineSetup, ports: EnginePorts, emit: (event: EngineEvent) => void) {
    this.#setup = setup;
    this.#ports = ports;
    this.#emit = emit;
  }

  async open(): Promise<EngineSnapshot> {
    const { clock, disk, sidecar, random } = this.#ports;
    const { resource, peerKind } = this.#setup;
    const metadata = boundDurableWrites(disk, clock, () => this.#patience(this.#core));
    // Writes wait for them (A1), and so does the peer: what only takes long must not fail.
    const bits = boundDurableWrites(disk, clock, () =>
      this.#core?.stall?.hangs === true ? HANGING_MS : this.#setup.resource.timeoutMs,
    );
    const store = await MetadataStore.open(metadata, sidecar, resource.name, random, (error) =>
      this.#report('metadata-copy', ...copyNews(resource.name, error)),
    );
    const map = openMap(store, disk.sectorBytes, (offset, data, done) =>
      bits.writeDurable(METADATA_BYTES + offset, data, done),
    );
    let marked = false;
    const core: EngineCore = {
      setup: this.#setup,
      ports: this.#ports,
      self: this.#setup.node,
      namedPeer: peerKind === 'hastate' ? resource.peer : null,
      store,
      map,
      locks: new RangeLock(),
      counters: noCounters(),
      report: (kind, level, message, data) => this.#report(kind, level, message, data),
      save: async (change) => {
        if (!marked) await commitMap(map);
        marked = true;
        await store.update(change);
      },
      freshness: { kind: 'unknown', why: 'it was just opened' },
      diskError: null,
      stall: null,
      peerProblem: null,
      primaryMode: null,
      asyncTold: false,
      verify: null,
    };
    core.freshness = freshnessAtStart(core);
    this.#core = core;
    this.#watch = new DiskWatch(core);
    if (store.mapLost) await distrust(core);
    this.#acceptor = new Acceptor(
      core,
      () => this.#role,
      (meeting) => {
        if (this.#secondary === null) meeting.incoming.close('not a secondary');
        else this.#secondary.meet(meeting);
      },
    );
    this.#report('opened', 'info', `${resource.name} is open, ${map.dirtyCount} extents are dirty.`);
    return this.#snapshot();
  }

  async handle(command: EngineCommand): Promise<EngineSnapshot> {
    const core = this.#opened();
    switch (command.type) {
      case 'snapshot':
        return this.#snapshot();
      case 'marks':
        return { ...this.#snapshot(), marks: dirtyBits(core.map, Math.ceil(core.map.extents / 8)) };
      case 'peer-outdated':
        this.#peering?.standing.peerOutdated(command.epoch);
        return this.#snapshot();
      case 'peer-epoch':
        this.#peering?.standing.peerEpoch(command.epoch);
        return this.#snapshot();
      default: {
        const run = this.#last.then(() => this.#run(core, command)).then(() => this.#snapshot());
        this.#last = run.catch(() => undefined);
        return run;
      }
    }
  }

  adopt(connection: ConnectionPort, head: Buffer): void {
    if (this.#acceptor === null || this.#closed) connection.close('the resource is not open');
    else this.#acceptor.adopt(connection, head);
  }

  turnAway(connection: ConnectionPort | null, why: string): void {
    if (!this.#closed) this.#acceptor?.turnAway(connection, why);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch?.stop();
    await this.#last;
    const core = this.#core;
    if (core !== null) {
      await this.#release(core, false).catch(() => undefined);
      await this.#rest(core);
      this.#acceptor?.close('the engine stops');
    }
  }

  async #run(core: EngineCore, command: EngineCommand): Promise<void> {
    switch (command.type) {
      case 'become-secondary':
        this.#becomeSecondary(core);
        return;
      case 'prepare-primary':
        await this.#prepare(core, command);
        return;
      case 'become-primary':
        await this.#becomePrimary(core, command.epoch);
        return;
      case 'release':
        await this.#release(core, command.handover);
        return;
      case 'unrelease':
        await takeBackRelease(core);
        return;
      case 'outdate':
        this.#refuseAsPrimary('is not outdated');
        await outdate(core, command.epoch, () => this.#secondary?.drop('another primary goes on alone'));
        return;
      case 'discard':
        this.#refuseAsPrimary('gives no copy up: release it first');
        this.#secondary?.drop('this copy is given up');
        await discardCopy(core);
        return;
      case 'set-freshness':
        if (this.#role !== 'primary') core.freshness = freshnessAsSaid(core, command.freshness);
        return;
      case 'settings':
        this.#settings(core, command.resource);
        return;
      case 'secrets':
        core.setup = this.#setup = { ...this.#setup, ...command.secrets };
        return;
      case 'verify':
        orderVerify(core, this.#peering, command);
        return;
      case 'stop':
        await this.#release(core, false);
        await this.#rest(core);
        return;
      default:
        throw new EngineError('unknown-command', `the engine knows no command ${command.type}`);
    }
  }

  #settings(core: EngineCore, resource: EngineSetup['resource']): void {
    const before = this.#setup.resource;
    core.setup = this.#setup = { ...this.#setup, resource };
    learnFromSettings(core, before);
    this.#peering?.reconfigured(before);
    if (changesLink(before, resource)) this.#secondary?.drop('its settings changed');
  }

  #becomeSecondary(core: EngineCore): void {
    this.#refuseAsPrimary('becomes no secondary: release it first');
    if (this.#role === 'secondary') return;
    refuseGivenUp(core);
    this.#secondary = new Secondary(core);
    this.#setRole('secondary');
  }

  /** B7: until the record is durable nothing is served. */
  async #prepare(
    core: EngineCore,
    { forced = false, vouched = false, heardBefore = Infinity, ...order }: Omit<PrepareCommand, 'type'>,
  ): Promise<void> {
    const { epoch, inSync, earlierGone = false } = order;
    const { name } = this.#setup.resource;
    if (this.#role === 'primary') throw new EngineError('is-primary', `${name} is primary already`);
    refuseGivenUp(core);
    refuseOldEpoch(core, epoch);
    if (vouched && this.#secondary?.up === true)
      throw new EngineError('peer-alive', `${name} is not promoted: its primary is connected`);
    if (!forced) refuseIncomplete(core, vouched);
    this.#acceptor?.close('this node becomes primary');
    await this.#secondary?.finish();
    // Also what an earlier life of this daemon wrote: nothing that is served from now on may go back in time.
    const error = await flushLocal(core);
    if (error !== null) {
      await this.#leaveSecondary('the local disk failed to flush');
      core.freshness = { kind: 'inconsistent' };
      throw new EngineError(
        'flush-failed',
        `${name} cannot become primary: its disk failed to flush (${error})`,
      );
    }
    await this.#leaveSecondary('this node becomes primary');
    // The link may have said more of the peer and of this disk while it was read to its end.
    if (!forced) refuseIncomplete(core, vouched);
    if (this.#ports.lease.heardAt() > heardBefore)
      throw new EngineError('peer-alive', `${name} is not promoted: the peer was heard in the meantime`);
    const { record } = core.store;
    // Who hands over may have said that its own disk is worth nothing.
    const isMember = (node: string): boolean => node === core.namedPeer && record.inSync.includes(node);
    const members = inSync.filter((node) => node === core.self || isMember(node));
    const named = namesPeer(core) || record.state === 'outdated' || record.state === 'inconsistent';
    const next = promoted(record, core.self, epoch, members.includes(core.self) ? members : [core.self]);
    await core.save(({ meta }) => ({ record: next, meta: { ...meta, prevrole: 'primary' } }));
    this.#aloneConfirmed = core.namedPeer === null || !named || earlierGone;
    core.freshness = freshnessAtStart(core);
    this.#report('record', 'info', `${name} is prepared to be primary in epoch ${describeEpoch(epoch)}.`);
  }

  async #becomePrimary(core: EngineCore, epoch: Epoch): Promise<void> {
    refuseGivenUp(core);
    const { record } = core.store;
    const current = compareEpochs(record.epoch, epoch) === 'same' && record.primary === core.self;
    if (this.#role === 'primary' && current) return;
    if (!current || record.released) await this.#prepare(core, { epoch, inSync: [core.self] });
    await this.#leaveSecondary('this node becomes primary');
    const peering = new Peering(core, this.#aloneConfirmed);
    this.#peering = peering;
    try {
      this.#export = await this.#ports.exporter.open(peering.primary, epoch);
    } catch (cause) {
      this.#peering = null;
      await peering.stop('the export could not be opened');
      throw cause instanceof DiskError
        ? cause
        : new EngineError('export-failed', `${this.#setup.resource.name} could not be exported`, { cause });
    }
    core.freshness = { kind: 'inSync' };
    core.store.settleDoubt();
    this.#setRole('primary');
    peering.start();
  }

  async #release(core: EngineCore, handover: boolean): Promise<void> {
    const peering = this.#peering;
    if (peering === null) return;
    const { primary } = peering;
    await this.#ports.exporter.close();
    this.#export = null;
    primary.close();
    const timeout = this.#patience(core);
    await within(this.#ports.clock, timeout, new Promise<void>((resolve) => primary.whenIdle(resolve)));
    const flushed = await within(this.#ports.clock, timeout, primary.flusher.flushBoth());
    if (flushed === true && peering.complete && handover)
      await core.save(({ record }) => ({ record: { ...record, released: true } }));
    await peering.stop('released');
    await within(
      this.#ports.clock,
      timeout,
      commitMap(core.map).catch(() => undefined),
    );
    this.#peering = null;
    this.#downAt = null;
    this.#aloneConfirmed = true;
    core.freshness = freshnessAtStart(core);
    this.#setRole('init');
  }

  async #leaveSecondary(reason: string): Promise<void> {
    const secondary = this.#secondary;
    if (secondary === null) return;
    this.#secondary = null;
    this.#downAt = secondary.downAt;
    await secondary.stop(reason);
    this.#setRole('init');
  }

  /** Clean, or as after a crash when the disk hangs. */
  async #rest(core: EngineCore): Promise<void> {
    const timeoutMs = this.#patience(core);
    await within(this.#ports.clock, timeoutMs, this.#leaveSecondary('the engine stops'));
    await within(
      this.#ports.clock,
      timeoutMs,
      rest(core).catch(() => undefined),
    );
  }

  /** How long a disk is waited for by who can go on without it. ms */
  #patience(core: EngineCore | null): number {
    return (core?.stall ?? null) === null ? this.#setup.resource.timeoutMs : HANGING_MS;
  }

  #setRole(role: HastRole): void {
    if (this.#role === role) return;
    const before = this.#role;
    this.#role = role;
    const text = `${this.#setup.resource.name}: role ${before} -> ${role}.`;
    this.#report('role', 'info', text, { before, role });
  }

  #refuseAsPrimary(what: string): void {
    const { name } = this.#setup.resource;
    if (this.#role === 'primary') throw new EngineError('is-primary', `${name} is primary here and ${what}`);
  }

  #opened(): EngineCore {
    if (this.#core === null || this.#closed)
      throw new EngineError('not-open', `the engine of ${this.#setup.resource.name} is not open`);
    return this.#core;
  }

  #report(
    kind: EngineEvent['kind'],
    level: EngineEvent['level'],
    message: string,
    data?: Readonly<Record<string, unknown>>,
  ): void {
    const snapshot = this.#core === null ? null : this.#snapshot();
    this.#emit({ kind, level, message, snapshot, ...(data === undefined ? {} : { data }) });
  }

  #snapshot(): EngineSnapshot {
    const secondary = this.#secondary;
    return snapshotOf(this.#opened(), {
      role: this.#role,
      peering: this.#peering,
      up: secondary?.up ?? false,
      downAt: secondary?.downAt ?? this.#downAt,
      exported: this.#export,
      queues: secondary?.queues() ?? null,
    });
  }
}
