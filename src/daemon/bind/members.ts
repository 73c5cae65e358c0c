/**
 * The resources of this node: one engine and one chart each. Turns "be secondary",
 * "record this epoch", "serve" into events of the chart and waits for its word.
 */
import { type Actor, fromPromise } from 'xstate';

import {
  type PromotionOrder,
  resourceMachine,
  type ResourceMachineEvent,
} from '../../../machines/resource.ts';
import { Backoff } from '../../model/backoff.ts';
import { describeError, EngineError } from '../../model/errors.ts';
import type { ResourceSettings } from '../../model/settings.ts';
import type { EngineCommand, EngineEvent, EngineSnapshot, QuietCommand } from '../../replication/messages.ts';
import { EngineHandle, type EngineHandleOptions } from '../engine/supervise.ts';
import type { LeaseMemory } from '../engine/lease-memory.ts';
import type { Runtime } from '../runtime.ts';
import { leaseOf } from './lease-of.ts';
import { reach, runChart } from './actors.ts';
import { EVENT_OF, withName } from './engine-events.ts';
import { engineSetup, linkSecrets } from './engine-setup.ts';
import { needOrder, prepareCommand } from './promotion-order.ts';

/** How long a disk that cannot be opened, or whose engine dies again soon, is left alone. ms */
const REOPEN = { firstMs: 500, mostMs: 8000, steadyMs: 60_000, tellFromMs: 2000 };

type ResourceActor = Actor<typeof resourceMachine>;

/** The engine's thread, or what stands for it in a simulation. */
export type MemberEngine = Pick<EngineHandle, keyof EngineHandle>;

/** One resource at work. */
export class Member {
  settings: ResourceSettings;
  readonly lease: LeaseMemory;
  readonly engine: MemberEngine;
  readonly actor: ResourceActor;
  snapshot: EngineSnapshot | null = null;
  /** Why the engine cannot be used, or null. */
  error: string | null = null;
  /** Since when and why this copy may lack what the peer wrote alone; null when it does not. */
  doubt: { since: number; why: string } | null = null;
  /** D5: an order to resolve a split-brain keeps this copy; until then no other may give it up. ms of the clock */
  keptUntil = Number.NEGATIVE_INFINITY;
  /** D5: generation of the peer's copy that was given up for ours, whatever its last words were. */
  givenUpThere: string | null = null;
  /** A5: the engine serves nothing until it has met the newer epoch. */
  frozen = false;
  readonly #reopening = new Backoff(REOPEN);
  #refreshing: Promise<void> | null = null;
  #stopWaiting: () => void = () => undefined;
  readonly #runtime: Runtime;
  readonly #changed: (member: Member, event: EngineEvent | null) => void;

  constructor(
    runtime: Runtime,
    settings: ResourceSettings,
    changed: (member: Member, event: EngineEvent | null) => void,
    makeEngine: (options: EngineHandleOptions) => MemberEngine = (options) => new EngineHandle(options),
  ) {
    this.#runtime = runtime;
    this.#changed = changed;
    this.settings = settings;
    this.lease = leaseOf(runtime.settings, settings.name);
    this.engine = makeEngine({
      setup: engineSetup(runtime, settings, this.lease),
      lease: this.lease,
      onEvent: (event) => {
        this.#engineSaid(event);
      },
      onDied: (reason) => {
        this.#engineDied(reason);
      },
      onStalled: (ms) => {
        this.error = `the engine does not move for ${Math.round(ms)} ms: its disk may hang`;
        this.#runtime.journal.add({
          kind: 'engine.stalled',
          level: 'error',
          message: `${settings.name}: ${this.error}`,
          resource: settings.name,
        });
        this.#changed(this, null);
      },
      onRecovered: () => {
        this.error = null;
        this.#runtime.journal.add({
          kind: 'engine.recovered',
          level: 'info',
          message: `${settings.name}: the engine moves again`,
          resource: settings.name,
        });
        this.#changed(this, null);
      },
    });
    this.actor = runChart(runtime, {
      id: `resource.${settings.name}`,
      name: 'resource',
      machine: this.#bound(),
      input: { resource: settings.name },
      about: { resource: settings.name },
      describe: (snapshot) => snapshot.context.error ?? '',
    });
  }

  #bound() {
    const run = (command: EngineCommand) => this.#command(command).then(() => undefined);
    return resourceMachine.provide({
      actors: {
        openEngine: fromPromise(() => this.#open()),
        becomeSecondary: fromPromise(() => run({ type: 'become-secondary' })),
        preparePrimary: fromPromise(({ input }) => run(prepareCommand(input.order))),
        becomePrimary: fromPromise(({ input }) =>
          run({ type: 'become-primary', epoch: needOrder(input.order).epoch }),
        ),
        releaseEngine: fromPromise(async ({ input }) => {
          // A dead engine serves nothing any more: there is nothing left to release.
          if (!this.engine.running) return undefined;
          return run({ type: 'release', handover: input.handover });
        }),
      },
    });
  }

  async #open(): Promise<undefined> {
    try {
      this.snapshot = await this.engine.start();
      this.error = null;
      this.#reopening.began(this.#runtime.clock.now());
    } catch (error) {
      const { local } = this.settings;
      const said = describeError(error);
      const text = said.includes(local) ? said : `${local}: ${said}`;
      // Tried again and again: said once, until it is something else.
      if (text !== this.error) {
        this.#runtime.journal.add({
          kind: 'engine.failed',
          level: 'error',
          message: `${this.settings.name} cannot be used: ${text}`,
          resource: this.settings.name,
        });
      }
      this.error = text;
      throw new EngineError('engine-not-open', text, { cause: error });
    } finally {
      this.#changed(this, null);
    }
    return undefined;
  }

  /** ms */
  #pause(): number {
    const wait = this.#reopening.failed(this.#runtime.clock.now());
    if (this.#reopening.isNews(wait))
      this.#runtime.journal.add({
        kind: 'engine.failed',
        level: 'warn',
        resource: this.settings.name,
        message: `${this.settings.name}: it fails again and again and is opened anew every ${REOPEN.mostMs / 1000} s at most: ${this.error ?? ''}`,
      });
    return wait;
  }

  /** A disk that could not be opened is tried again, less and less often. */
  async #reopen(timeoutMs: number, wait: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#runtime.clock.after(wait, resolve);
      this.#stopWaiting = () => {
        cancel();
        resolve();
      };
    });
    try {
      await this.#drive({ type: 'REOPEN' }, 'init', timeoutMs);
    } catch (cause) {
      throw new EngineError(
        'role-failed',
        `${this.settings.name} cannot be used: ${this.error ?? describeError(cause)}`,
        { cause },
      );
    }
  }

  /** Sends a command to the engine and keeps the snapshot of its answer. */
  async #command(command: EngineCommand): Promise<EngineSnapshot> {
    const snapshot = await this.engine.command(command);
    this.snapshot = snapshot;
    this.#changed(this, null);
    return snapshot;
  }

  command(command: QuietCommand): Promise<EngineSnapshot> {
    return this.#command(command);
  }

  #engineSaid(event: EngineEvent): void {
    if (event.snapshot !== null) this.snapshot = event.snapshot;
    if (event.kind === 'frozen') this.frozen = true;
    if (event.kind === 'thawed' || event.kind === 'role') this.frozen = false;
    // A fresh join on the data link: the primary itself says that this disk has everything.
    if (event.kind === 'sync-done') this.doubt = null;
    if (event.kind === 'disk-error') this.error = event.message;
    this.#runtime.journal.add({
      kind: `engine.${event.kind}`,
      level: event.level,
      message: withName(this.settings.name, event.message),
      resource: this.settings.name,
      ...(event.data === undefined ? {} : { data: event.data }),
    });
    const type = EVENT_OF[event.kind];
    if (type !== undefined) this.actor.send({ type } as ResourceMachineEvent);
    this.#changed(this, event);
  }

  #engineDied(reason: string): void {
    this.error = `engine died: ${reason}`;
    this.snapshot = null;
    this.#runtime.journal.add({
      kind: 'engine.died',
      level: 'error',
      message: `${this.settings.name}: the engine died (${reason}); its export is closed and its group goes down here`,
      resource: this.settings.name,
    });
    this.actor.send({ type: 'ENGINE.DIED', reason: this.error });
    this.#changed(this, null);
  }

  async #drive(
    event: ResourceMachineEvent,
    goal: 'secondary' | 'prepared' | 'primary' | 'init',
    timeoutMs: number,
  ): Promise<void> {
    if (!this.actor.getSnapshot().can(event)) {
      const state = JSON.stringify(this.actor.getSnapshot().value);
      throw new EngineError(
        'role-impossible',
        `${this.settings.name} cannot become ${goal} from ${state}: wait for the running change to end`,
      );
    }
    this.actor.send(event);
    const snapshot = await reach(
      this.actor,
      `${this.settings.name} becoming ${goal}`,
      (s) => s.matches(goal) || s.matches('failed'),
      timeoutMs,
    );
    if (snapshot.matches('failed')) {
      throw new EngineError(
        'role-failed',
        `${this.settings.name} did not become ${goal}: ${snapshot.context.error ?? 'unknown reason'}`,
      );
    }
  }

  /** Resolves when the disk is open or known to be unusable. */
  async opened(timeoutMs: number): Promise<void> {
    await reach(this.actor, `${this.settings.name} opening`, (s) => !s.matches('opening'), timeoutMs);
  }

  /** Opens a disk that was closed or could not be used. @throws EngineError `role-failed` */
  async ready(timeoutMs: number): Promise<void> {
    await this.opened(timeoutMs);
    if (this.engine.running) return;
    // An operator who asks has done something about it.
    this.#reopening.reset();
    await this.#reopen(timeoutMs, 0);
  }

  /** As hastd in role init: the disk is free, e.g. for `hastate create`. From role init. */
  async closeDisk(): Promise<void> {
    await this.engine.stop();
    this.snapshot = null;
    this.error = null;
    this.doubt = null;
    this.#changed(this, null);
  }

  /** Asks the engine how it is, at most so long; keeps what is known when it does not answer. ms */
  async refresh(timeoutMs: number): Promise<void> {
    if (!this.engine.running || this.engine.stalled) return;
    this.#refreshing ??= this.engine
      .command({ type: 'snapshot' }, { timeoutMs })
      .then((snapshot) => {
        this.snapshot = snapshot;
      })
      .catch(() => undefined)
      .finally(() => {
        this.#refreshing = null;
      });
    await this.#refreshing;
  }

  async beSecondary(timeoutMs: number): Promise<void> {
    await this.opened(timeoutMs);
    // It is asked for nothing any more before it was opened anew.
    if (this.snapshot?.diskGivenUp === true) await this.#leave('its disk was given up');
    if (!this.engine.running) await this.#reopen(timeoutMs, this.error === null ? 0 : this.#pause());
    await this.#drive({ type: 'SECONDARY' }, 'secondary', timeoutMs);
  }

  prepare(order: PromotionOrder, timeoutMs: number): Promise<void> {
    return this.#drive({ type: 'PREPARE', order }, 'prepared', timeoutMs);
  }

  promote(timeoutMs: number): Promise<void> {
    return this.#drive({ type: 'PROMOTE' }, 'primary', timeoutMs);
  }

  async release(handover: boolean, timeoutMs: number): Promise<void> {
    const settled = await reach(
      this.actor,
      `${this.settings.name} finishing its change of role`,
      (s) =>
        !s.matches('opening') &&
        !s.matches('preparing') &&
        !s.matches('promoting') &&
        !s.matches('becomingSecondary') &&
        !s.matches('releasing'),
      timeoutMs,
    );
    if (settled.matches('init')) return;
    if (settled.matches('failed') && !this.engine.running) return;
    if (this.engine.stalled) {
      // It would hear of it when its disk answers, and serve until then.
      await this.engine.kill();
      this.snapshot = null;
      return;
    }
    try {
      await this.#drive({ type: 'RELEASE', handover }, 'init', timeoutMs);
    } catch {
      const snapshot = await this.engine.command({ type: 'snapshot' }).catch(() => null);
      if (snapshot?.role === 'init') {
        this.snapshot = snapshot;
        return;
      }
      // An engine that cannot even release is ended: its export must not outlive the role.
      await this.engine.kill();
      this.snapshot = null;
    }
  }

  /** hast.conf was read again; `local` and `name` are as they were. */
  async configure(settings: ResourceSettings): Promise<void> {
    this.settings = settings;
    this.#changed(this, null);
    await this.engine.configure(settings);
  }

  /** The secret file or the certificates were read again. */
  rekey(): Promise<void> {
    return this.engine.rekey(linkSecrets(this.#runtime, this.settings));
  }

  /** From here to `reopen` it is no candidate for anything. */
  retire(why: string): void {
    this.error = why;
    this.#changed(this, null);
  }

  /** Closes the disk, unless it is, and opens that of `settings`. Not as primary. */
  async reopen(settings: ResourceSettings, role: 'init' | 'secondary', timeoutMs: number): Promise<void> {
    await this.#leave('it is opened again with other settings');
    this.settings = settings;
    await this.engine.configure(settings);
    await this.#drive({ type: 'REOPEN' }, 'init', timeoutMs);
    if (role === 'secondary') await this.#drive({ type: 'SECONDARY' }, 'secondary', timeoutMs);
  }

  async #leave(reason: string): Promise<void> {
    await this.engine.stop();
    // Inside a system call of its disk: it is opened again once that returns.
    if (this.engine.running) await this.engine.kill();
    this.snapshot = null;
    this.actor.send({ type: 'ENGINE.DIED', reason });
  }

  async close(): Promise<void> {
    this.#stopWaiting();
    this.actor.stop();
    await this.engine.stop();
  }
}
