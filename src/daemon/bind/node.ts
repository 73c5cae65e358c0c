/**
 * The whole node at work: builds every part, runs the node chart over them, and closes them in
 * reverse. The one place that knows all parts.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { type Actor, fromPromise } from 'xstate';

import { nodeMachine } from '../../../machines/node.ts';
import { describeError, HastateError } from '../../model/errors.ts';
import type { GroupSettings } from '../../model/settings.ts';
import type { ControlRequest, NodeStatus, SwitchoverResult } from '../../protocol/control.ts';
import { type KeeperHandle, startKeeper } from '../../keeper/handle.ts';
import { watchLoopStalls } from '../../net/loop-stall.ts';
import { DataListener } from '../engine/data-listener.ts';
import { type CommandContext, runCommand, switchAway } from '../commands.ts';
import { RepeatedLines } from '../repeated-lines.ts';
import type { Runtime } from '../runtime.ts';
import { nodeStatus, type StatusSources } from '../status.ts';
import { reach, runChart } from './actors.ts';
import { SharedAddresses } from './addresses.ts';
import { Devices } from './devices.ts';
import { Group } from './group.ts';
import type { AddressService, GroupServices } from './group-services.ts';
import { GroupHooks } from './hooks.ts';
import { Link } from './link.ts';
import { Member } from './members.ts';
import { References } from './references.ts';

const KEEPER = fileURLToPath(new URL('../../keeper/main.js', import.meta.url));
const KEEPER_STALL_MS = 2000;
const KEEPER_BEAT_MS = 250;
const START_MS = 30_000;
const STOP_MS = 60_000;
const PEER_STATUS_MS = 1000;
const BOUND_OUTPUTS_MS = 10_000;
const UNFIT_AGAIN_MS = 10_000;

export interface NodeOptions {
  readonly runtime: Runtime;
  readonly version: string;
  /** The daemon is to end: SIGTERM, `hastate stop`. */
  requestStop(): void;
}

export class HastateNode {
  readonly #runtime: Runtime;
  readonly #options: NodeOptions;
  readonly #members = new Map<string, Member>();
  readonly #groups = new Map<string, Group>();
  readonly #addresses: SharedAddresses;
  readonly #devices: Devices;
  readonly #hooks: GroupHooks;
  readonly #commands: CommandContext;
  #actor: Actor<typeof nodeMachine> | null = null;
  #keeper: KeeperHandle | null = null;
  #link: Link | null = null;
  #listener: DataListener | null = null;
  readonly #references: References;
  readonly #timers = new Set<() => void>();
  readonly #stopping = new AbortController();

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
    this.#references = new References(options.runtime);
    this.#addresses = new SharedAddresses(options.runtime, {
      heard: () => {
        const now = this.#runtime.clock.now();
        for (const member of this.#members.values()) member.lease.heard('adverts', now);
      },
      unfit: () => void this.#leaveUnfit(),
    });
    this.#devices = new Devices(options.runtime, () => {
      this.#tellKeeper();
    });
    this.#hooks = new GroupHooks(
      options.runtime,
      (resource) => this.#devices.path(resource),
      this.#stopping.signal,
    );
    this.#commands = {
      runtime: options.runtime,
      sources: this.#sources(),
      groupOf: (resource) =>
        [...this.#groups.values()].find((group) => group.settings.resources.includes(resource)) ?? null,
      askPeerToSwitch: (group) => this.#needLink().ask('switchover', { group }, STOP_MS),
      stop: () => {
        options.requestStop();
      },
    };
  }

  #sources(): StatusSources {
    return {
      members: this.#members,
      groups: this.#groups,
      version: this.#options.version,
      device: (resource) => this.#devices.path(resource),
    };
  }

  #runChart(): Actor<typeof nodeMachine> {
    return runChart(this.#runtime, {
      id: `node.${this.#runtime.node}`,
      name: 'node',
      machine: nodeMachine.provide({
        actors: {
          cleanUp: step(() => this.#cleanUp()),
          openResources: step(() => this.#openResources()),
          startLink: step(() => this.#startLink()),
          startGroups: step(() => this.#startGroups()),
          stopGroups: step(() => this.#stopGroups()),
          closeAll: step(() => this.#closeAll()),
        },
      }),
      input: { node: this.#runtime.node },
      about: {},
      describe: (snapshot) => snapshot.context.error ?? '',
    });
  }

  /** @throws HastateError `start-failed` with what could not be opened */
  async start(): Promise<void> {
    this.#actor = this.#runChart();
    const snapshot = await reach(
      this.#actor,
      'the start of the node',
      (s) => s.matches('running') || s.matches('failed'),
      START_MS,
    );
    if (snapshot.matches('failed'))
      throw new HastateError('start-failed', snapshot.context.error ?? 'the node could not start');
  }

  /** Down in order; a peer in sync takes over. Never rejects: what cannot be stopped is logged. */
  async stop(): Promise<void> {
    const actor = this.#actor;
    if (actor === null) return;
    actor.send({ type: 'STOP' });
    await reach(actor, 'the stop of the node', (s) => s.matches('stopped'), STOP_MS).catch(
      (error: unknown) => {
        this.#runtime.log('error', describeError(error));
      },
    );
    actor.stop();
  }

  /** The peer's own status, over the peer channel. @throws NetError when it cannot be asked */
  async peerStatus(): Promise<NodeStatus> {
    return (await this.#needLink().ask('status', {}, PEER_STATUS_MS)) as NodeStatus;
  }

  status(): NodeStatus {
    return nodeStatus(this.#runtime, this.#sources());
  }

  command(
    request: ControlRequest,
    push: Parameters<typeof runCommand>[2],
    signal: AbortSignal,
  ): Promise<unknown> {
    return runCommand(this.#commands, request, push, signal);
  }

  async #cleanUp(): Promise<void> {
    const [keeper] = await Promise.allSettled([this.#startKeeper(), this.#devices.cleanUp()]);
    if (keeper.status === 'fulfilled') return;
    const without = `no keeper (${describeError(keeper.reason)}): if this daemon dies, its address and devices stay`;
    this.#runtime.warnings.add(without);
    this.#runtime.journal.add({ kind: 'keeper.died', level: 'error', message: without });
  }

  async #startKeeper(): Promise<void> {
    const keeper = await startKeeper({ entry: KEEPER, stallMs: KEEPER_STALL_MS });
    this.#keeper = keeper;
    keeper.onExit((reason) => {
      if (this.#stopping.signal.aborted) return;
      this.#keeper = null;
      this.#runtime.warnings.add('the keeper ended: if this daemon dies, its address and devices stay');
      this.#runtime.journal.add({
        kind: 'keeper.died',
        level: 'error',
        message: `the keeper ended (${reason}): restart hastated soon, nothing cleans up after it now`,
      });
    });
    keeper.onCleaned(() => {
      this.#cleanedBehindOurBack();
    });
    this.#every(KEEPER_BEAT_MS, () => this.#keeper?.beat());
  }

  /** D2: this daemon was frozen long enough that the keeper took address and devices away. */
  #cleanedBehindOurBack(): void {
    this.#runtime.journal.add({
      kind: 'keeper.cleaned',
      level: 'error',
      message:
        'this daemon stood still: the keeper removed its addresses and aborted its devices; the groups go down in order',
    });
    for (const group of this.#groups.values()) group.cleanedByKeeper();
  }

  #tellKeeper(): void {
    this.#keeper?.set([...this.#addresses.cleanupActions(), ...this.#devices.cleanupActions()]);
  }

  #every(ms: number, work: () => void): void {
    let cancel: (() => void) | null = null;
    const again = (): void => {
      work();
      cancel = this.#runtime.clock.after(ms, again);
    };
    cancel = this.#runtime.clock.after(ms, again);
    this.#timers.add(() => cancel?.());
  }

  async #openResources(): Promise<void> {
    for (const settings of this.#runtime.hast.resources) {
      const member = new Member(this.#runtime, settings, (changed) => {
        this.#memberChanged(changed);
      });
      this.#members.set(settings.name, member);
    }
    await Promise.all([...this.#members.values()].map((member) => member.opened(START_MS)));
  }

  #memberChanged(member: Member): void {
    this.#commands.groupOf(member.settings.name)?.judge();
  }

  async #startLink(): Promise<void> {
    const { runtime } = this.#options;
    const secretFile = runtime.settings.secretFile;
    const refusals = new RepeatedLines(runtime.log, () => runtime.clock.now());
    this.#link = new Link({
      runtime,
      members: this.#members,
      groups: this.#groups,
      secret: secretFile === null ? null : await readFile(secretFile),
      version: this.#options.version,
      referencesLost: () => this.#references.lost,
      switchAway: (group) => this.#switchAway(group),
      composeStatus: () => this.status(),
    });
    this.#listener = await DataListener.start({
      listen: runtime.hast.listen,
      resources: () =>
        [...this.#members.values()].map((member) => ({
          name: member.settings.name,
          remote: member.settings.remote,
          adopt: (connection) => {
            member.engine.adopt(connection);
          },
        })),
      onRefused: (from, reason) => {
        refusals.say('warn', `data link from ${from} refused: ${reason}`);
      },
    });
    await this.#link.start();
    this.#timers.add(
      watchLoopStalls({
        now: () => runtime.clock.now(),
        onStall: (ms) => {
          this.#addresses.stalled(ms);
        },
      }),
    );
    this.#every(UNFIT_AGAIN_MS, () => void this.#leaveUnfit());
    this.#every(BOUND_OUTPUTS_MS, () => void this.#hooks.boundOutputs());
    this.#references.start();
  }

  async #switchAway(group: Group): Promise<SwitchoverResult> {
    const peer = this.#runtime.settings.peer?.name ?? '';
    return switchAway(this.#commands, group, peer, peer, false);
  }

  /** Where this node cannot lead any more and the other can without loss, it hands over. */
  async #leaveUnfit(): Promise<void> {
    for (const { group: name, why } of this.#addresses.unfit()) {
      const group = this.#groups.get(name);
      if (group?.role !== 'primary' || group.peerReady() !== null) continue;
      this.#runtime.log('warn', `${name}: this node cannot lead (${why}): it hands over`);
      await this.#switchAway(group).catch((error: unknown) => {
        this.#runtime.log('warn', `${name}: ${describeError(error)}; it is tried again`);
      });
    }
  }

  #needLink(): Link {
    if (this.#link === null)
      throw new HastateError('not-started', 'the node is still starting: try again in a moment');
    return this.#link;
  }

  async #startGroups(): Promise<void> {
    const grouped = new Set<string>();
    for (const settings of this.#runtime.settings.groups) {
      for (const resource of settings.resources) grouped.add(resource);
      await this.#startGroup(settings, false);
    }
    for (const resource of this.#members.keys()) {
      if (!grouped.has(resource)) await this.#startGroup(this.#byHand(resource), true);
    }
  }

  /** A resource outside any group: a person gives its role, through the same door. */
  #byHand(resource: string): GroupSettings {
    return {
      name: this.#groups.has(resource) ? `resource:${resource}` : resource,
      policy: 'manual',
      prefer: null,
      failback: 'never',
      allowLoss: false,
      peerKind: this.#runtime.settings.peer === null ? 'hastd' : 'hastate',
      resources: [resource],
      hooks: {},
      device: 'none',
      address: null,
    };
  }

  async #startGroup(settings: GroupSettings, byHand: boolean): Promise<void> {
    const members = settings.resources.flatMap((name) => this.#members.get(name) ?? []);
    const address =
      settings.address === null ? null : await this.#addresses.start(settings.name, settings.address);
    this.#tellKeeper();
    this.#groups.set(
      settings.name,
      new Group(this.#runtime, settings, members, this.#services(address), byHand),
    );
  }

  #services(address: AddressService | null): GroupServices {
    return {
      allMembers: () => this.#members.values(),
      references: this.#references,
      obstacles: (group) => this.#devices.obstacles(this.#groups.get(group)?.settings.resources ?? []),
      askPeer: (method, params, timeoutMs) => this.#needLink().ask(method, params, timeoutMs),
      announceState: () => undefined,
      attachDevices: (group, members) => this.#devices.attach(group, members),
      detachDevices: (group, members) => this.#devices.detach(group, members),
      runHooks: (group, members, verb, about) => this.#hooks.run(group, members, verb, about),
      address,
    };
  }

  async #stopGroups(): Promise<void> {
    const results = await Promise.allSettled(
      [...this.#groups.values()].map((group) => group.stop(STOP_MS / 2)),
    );
    for (const result of results) {
      if (result.status === 'rejected') this.#runtime.log('error', describeError(result.reason));
    }
  }

  async #closeAll(): Promise<void> {
    this.#stopping.abort();
    this.#references.close();
    for (const cancel of this.#timers) cancel();
    await this.#addresses.close();
    for (const group of this.#groups.values()) group.actor.stop();
    await this.#listener?.close();
    await Promise.all([...this.#members.values()].map((member) => member.close()));
    // Its goodbye says that the data links are down for good.
    await this.#link?.close();
    await this.#keeper?.bye();
  }
}

/** A port without a result, from a plain async function. */
function step(work: () => Promise<void>) {
  return fromPromise<undefined, undefined>(async () => {
    await work();
    return undefined;
  });
}
