/**
 * The whole node at work: builds every part, runs the node chart over them, and closes them in
 * reverse. The one place that knows all parts.
 */
import type { Actor } from 'xstate';

import { nodeMachine } from '../../../machines/node.ts';
import { describeError, HastateError } from '../../model/errors.ts';
import type { ResourceSettings } from '../../model/settings.ts';
import type { EngineEvent } from '../../replication/messages.ts';
import type { ControlRequest, NodeStatus } from '../../protocol/control.ts';
import { watchLoopStalls } from '../../net/loop-stall.ts';
import { DataListener } from '../engine/data-listener.ts';
import { AfterSplitDesk } from '../after-split.ts';
import { type CommandContext, hastctlPorts, runCommand } from '../commands.ts';
import { answerHastctl } from '../hastctl-bridge.ts';
import { Notices } from '../notices.ts';
import { Refusals } from '../refusals.ts';
import type { ReloadPlan } from '../reload-plan.ts';
import { RepeatedLines } from '../repeated-lines.ts';
import { answerResolve } from '../resolve.ts';
import { answerVerify } from '../verify.ts';
import { RoleDesk } from '../roles.ts';
import type { Runtime } from '../runtime.ts';
import { nodeStatus, type StatusSources } from '../status.ts';
import { switchToPeer } from '../switchover.ts';
import { reach, runChart, step } from './actors.ts';
import { SharedAddresses } from './addresses.ts';
import { Devices } from './devices.ts';
import type { HookWatch } from '../../hooks/watch.ts';
import { tellHookChanges } from './hook-watch.ts';
import { GroupHooks, hookOutputs, hooksDirectory } from './hooks.ts';
import { KEEPER_BEAT_MS, KeeperCare } from './keeper-care.ts';
import { leaveUnfit, throughPeer } from './leave-unfit.ts';
import { Link } from './link.ts';
import { Member } from './members.ts';
import { NodeGroups } from './node-groups.ts';
import { latestHeard } from './evidence.ts';
import { Failback } from './failback.ts';
import { Fence } from './fence.ts';
import { References } from './references.ts';
import { followPlan } from './reload.ts';
import { wayHere } from './engine-setup.ts';
import { Timers } from './timers.ts';

const START_MS = 30_000;
const STOP_MS = 60_000;
const PEER_STATUS_MS = 1000;
const BOUND_OUTPUTS_MS = 10_000;
const FAILBACK_LOOK_MS = 250;
const AFTER_SPLIT_LOOK_MS = 1000;
const UNFIT_AGAIN_MS = 10_000;

export interface NodeOptions {
  readonly runtime: Runtime;
  readonly version: string;
  /** The daemon is to end: SIGTERM, `hastate stop`. */
  requestStop(): void;
  /** Both files are to be read again. */
  reload(): Promise<unknown>;
}

export class HastateNode {
  readonly #runtime: Runtime;
  readonly #options: NodeOptions;
  readonly #members = new Map<string, Member>();
  readonly #groups: NodeGroups;
  readonly #addresses: SharedAddresses;
  readonly #devices: Devices;
  readonly #hooks: GroupHooks;
  #hookWatch: HookWatch | null = null;
  readonly #commands: CommandContext;
  readonly #notices: Notices;
  readonly #keeper: KeeperCare;
  #actor: Actor<typeof nodeMachine> | null = null;
  #link: Link | null = null;
  #listener: DataListener | null = null;
  readonly #references: References;
  readonly #fence: Fence;
  readonly #failback: Failback;
  readonly #refusals: Refusals;
  readonly #timers: Timers;
  readonly #stopping = new AbortController();

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#runtime = options.runtime;
    this.#references = new References(options.runtime, (askedAt) => {
      for (const member of this.#members.values()) member.lease.referencesAnswered(askedAt);
    });
    this.#timers = new Timers(options.runtime.clock);
    this.#keeper = new KeeperCare(options.runtime, () => {
      for (const group of this.#groups.byName.values()) group.cleanedByKeeper();
    });
    this.#refusals = new Refusals(() => options.runtime.clock.now());
    this.#addresses = new SharedAddresses(options.runtime, {
      heard: () => {
        const now = this.#runtime.clock.now();
        for (const member of this.#members.values()) member.lease.heard('adverts', now);
      },
      unfit: () => {
        this.#leaveUnfit();
      },
      holds: () => {
        this.#tellKeeper();
      },
    });
    this.#devices = new Devices(options.runtime, () => {
      this.#tellKeeper();
    });
    this.#hooks = new GroupHooks(
      options.runtime,
      (resource) => this.#devices.path(resource),
      this.#stopping.signal,
    );
    this.#failback = new Failback(options.runtime);
    this.#fence = new Fence({
      runtime: options.runtime,
      lastHeard: () => latestHeard(this.#members.values()),
      confirmed: (at) => {
        for (const member of this.#members.values()) member.lease.fenced(at);
        for (const group of this.#groups.byName.values()) group.judge();
      },
    });
    this.#groups = new NodeGroups({
      runtime: options.runtime,
      members: this.#members,
      references: this.#references,
      fence: this.#fence,
      addresses: this.#addresses,
      devices: this.#devices,
      hooks: this.#hooks,
      askPeer: (method, params, timeoutMs) => this.#needLink().ask(method, params, timeoutMs),
      tellKeeper: () => {
        this.#tellKeeper();
      },
    });
    this.#notices = new Notices({
      runtime: options.runtime,
      hooksDir: () => hooksDirectory(options.runtime),
      outputDir: hookOutputs(options.runtime),
    });
    const { runtime } = options;
    const sources = this.#sources();
    this.#commands = {
      runtime,
      sources,
      roles: new RoleDesk({
        runtime,
        members: sources.members,
        groupOf: (resource) => this.#groups.of(resource),
      }),
      fence: this.#fence,
      holdsChanged: () => {
        for (const group of this.#groups.byName.values()) group.judge();
        this.#leaveUnfit();
      },
      askPeer: (method, params, timeoutMs) => this.#needLink().ask(method, params, timeoutMs),
      stop: () => {
        options.requestStop();
      },
      reload: () => options.reload(),
    };
  }

  #sources(): StatusSources {
    return {
      members: this.#members,
      groups: this.#groups.byName,
      version: this.#options.version,
      device: (resource) => this.#devices.path(resource),
      refused: () => this.#refusals.list(),
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
          startGroups: step(() => this.#groups.start()),
          stopGroups: step(() => this.#groups.stop()),
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

  /** One frame of hastctl. @throws WireError when it cannot be read */
  hastctl(frame: Buffer): Promise<Buffer> {
    return answerHastctl(frame, hastctlPorts(this.#commands));
  }

  async #cleanUp(): Promise<void> {
    await Promise.all([this.#keeper.start(), this.#devices.cleanUp()]);
    this.#timers.every(KEEPER_BEAT_MS, () => {
      this.#keeper.beat();
    });
  }

  #tellKeeper(): void {
    this.#keeper.tell([...this.#addresses.cleanupActions(), ...this.#devices.cleanupActions()]);
  }

  async #openResources(): Promise<void> {
    for (const settings of this.#runtime.hast.resources) this.#addMember(settings);
    await Promise.all([...this.#members.values()].map((member) => member.opened(START_MS)));
  }

  #addMember(settings: ResourceSettings): Member {
    const changed = (member: Member, event: EngineEvent | null): void => {
      this.#memberChanged(member);
      if (event?.kind === 'disk-error' && member.snapshot?.diskGivenUp === true) this.#leaveUnfit();
    };
    const member = new Member(this.#runtime, settings, changed);
    this.#members.set(settings.name, member);
    return member;
  }

  /** @returns what could not be followed */
  reload(plan: ReloadPlan): Promise<string[]> {
    return followPlan(plan, {
      runtime: this.#runtime,
      members: this.#members,
      groups: this.#groups.byName,
      groupOf: (resource) => this.#groups.of(resource),
      add: async (settings) => {
        await this.#addMember(settings).opened(START_MS);
        await this.#groups.addByHand(settings.name);
      },
      remove: (resource) => this.#removeResource(resource),
      addresses: this.#addresses,
      rekey: (credentials) => this.#link?.rekey(credentials),
      listen: async (addresses) => this.#listener?.relisten(addresses),
      lookAtReferences: () => {
        this.#references.start();
      },
    });
  }

  /** Outside any group; in role init before it goes, as hastd does. */
  async #removeResource(resource: string): Promise<void> {
    await this.#groups.removeOf(resource, `${resource} is no longer in hast.conf`);
    await this.#members.get(resource)?.close();
    this.#members.delete(resource);
    this.#runtime.charts.forget(`resource.${resource}`);
  }

  #memberChanged(member: Member): void {
    this.#groups.of(member.settings.name)?.judge();
  }

  async #startLink(): Promise<void> {
    const { runtime } = this.#options;
    const refusals = new RepeatedLines(runtime.log, () => runtime.clock.now());
    this.#link = new Link({
      runtime,
      members: this.#members,
      groups: this.#groups.byName,
      version: this.#options.version,
      references: this.#references,
      addressSet: (group) => this.#addresses.setDigest(group),
      peerRecovered: () => {
        this.#leaveUnfit();
      },
      switchAway: (group, params) => switchToPeer(runtime, group, params['dryRun'] === true),
      resolve: (params) => answerResolve(this.#commands, params),
      verify: (params) => answerVerify(this.#commands, params),
      composeStatus: () => this.status(),
    });
    this.#listener = await DataListener.start({
      listen: runtime.hast.listen,
      resources: () =>
        [...this.#members.values()].map((member) => ({
          name: member.settings.name,
          remote: member.settings.remote,
          way: wayHere(runtime, member.settings),
          adopt: (connection) => {
            member.engine.adopt(connection);
          },
        })),
      onRefused: (from, reason) => {
        this.#refusals.add(from, reason);
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
    this.#timers.every(UNFIT_AGAIN_MS, () => {
      this.#leaveUnfit();
    });
    this.#timers.every(FAILBACK_LOOK_MS, () => {
      this.#failback.look(this.#groups.byName.values());
    });
    const afterSplit = new AfterSplitDesk(this.#commands);
    this.#timers.every(AFTER_SPLIT_LOOK_MS, () => void afterSplit.look());
    this.#timers.every(BOUND_OUTPUTS_MS, () => void this.#hooks.boundOutputs());
    this.#hookWatch = tellHookChanges(this.#runtime);
    this.#references.start();
  }

  #leaveUnfit(): void {
    const { standby } = this.#runtime.holds.all;
    const drained = (group: string) => ({
      group,
      why: `an operator put it on standby: ${standby?.reason ?? ''}`,
    });
    const { byName } = this.#groups;
    const unfit =
      standby === null
        ? [...this.#addresses.unfit(), ...throughPeer(byName.values())]
        : [...byName.keys()].map(drained);
    void leaveUnfit(this.#runtime, byName, unfit, standby === null ? 'unfit' : 'standby');
  }

  #needLink(): Link {
    if (this.#link === null)
      throw new HastateError('not-started', 'the node is still starting: try again in a moment');
    return this.#link;
  }

  async #closeAll(): Promise<void> {
    this.#stopping.abort();
    this.#keeper.leave();
    this.#references.close();
    this.#fence.close();
    this.#timers.close();
    await this.#hookWatch?.close();
    await this.#addresses.close();
    this.#groups.close();
    await this.#listener?.close();
    await Promise.all([...this.#members.values()].map((member) => member.close()));
    // Its goodbye says that the data links are down for good.
    await this.#link?.close();
    await this.#notices.close();
    await this.#keeper.bye();
  }
}
