/**
 * Roles on an operator's word: `hastate role` and stock hastctl. One request after another, and
 * every `primary` through the one door (SAFETY B1).
 */
import { describeError, HastateError } from '../model/errors.ts';
import type { Trigger } from '../model/evidence.ts';
import { type HastRole, isHastRole } from '../model/roles.ts';
import type { RoleResult } from '../protocol/control.ts';
import { errnoToWire } from '../protocol/hast-errno.ts';
import { HASTCTL_ERROR } from '../protocol/hastctl.ts';
import type { Group } from './bind/group.ts';
import { hasRival } from '../model/presence.ts';
import type { Member } from './bind/members.ts';
import type { Runtime } from './runtime.ts';
import { switchAway } from './switchover.ts';

const CHANGE_MS = 60_000;
/** A plain hastd primary that lost power is noticed after 20 s without a word. */
const SILENCE_MS = 25_000;
const SILENCE_POLL_MS = 100;
const MAX_QUEUED = 64;

const OPERATOR: Trigger = { kind: 'operator', force: false, reason: null };

export interface RoleSources {
  readonly runtime: Runtime;
  readonly members: ReadonlyMap<string, Member>;
  /** The group that a resource moves with; null while the node starts. */
  groupOf(resource: string): Group | null;
}

/** Numbers that mean the same on FreeBSD and Linux, so that anybody can look them up. */
const NUMBERS: Readonly<Record<string, number>> = {
  'unknown-resource': HASTCTL_ERROR.NO_ENTRY,
  'bad-role': HASTCTL_ERROR.INVALID,
  'promotion-refused': errnoToWire('EACCES'),
  'role-grouped': errnoToWire('EACCES'),
  'promotion-waits': errnoToWire('EBUSY'),
  'role-kept': errnoToWire('EBUSY'),
  'group-stuck': errnoToWire('EBUSY'),
  'not-started': errnoToWire('EBUSY'),
  'role-failed': errnoToWire('ENXIO'),
};

export class RoleDesk {
  readonly #sources: RoleSources;
  #last: Promise<unknown> = Promise.resolve();
  #queued = 0;

  constructor(sources: RoleSources) {
    this.#sources = sources;
  }

  /**
   * Gives `role` to each resource in turn; a first name `all` means every one. What fails for one
   * resource is in its result. As with hastd, what was asked is done even if nobody waits for the answer.
   * @throws HastateError `bad-role`, `too-many-requests`
   */
  async give(role: string, names: readonly string[]): Promise<RoleResult[]> {
    if (!isHastRole(role))
      throw new HastateError('bad-role', `'${role}' is no role: use init, primary or secondary`);
    if (this.#queued >= MAX_QUEUED)
      throw new HastateError(
        'too-many-requests',
        `${MAX_QUEUED} changes of roles wait already: try again later`,
      );
    this.#queued++;
    const turn = this.#last.then(() => this.#giveAll(role, names));
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#queued--;
    }
  }

  async #giveAll(role: HastRole, names: readonly string[]): Promise<RoleResult[]> {
    const { members, runtime } = this.#sources;
    // While the node starts those that are to come are meant as well.
    const all = new Set([...members.keys(), ...runtime.hast.resources.map(({ name }) => name)]);
    const wanted = names[0] === 'all' ? [...all] : names;
    const results: RoleResult[] = [];
    for (const name of wanted) {
      results.push(await this.#giveOne(role, name));
    }
    return results;
  }

  async #giveOne(role: HastRole, resource: string): Promise<RoleResult> {
    const { members, runtime } = this.#sources;
    const member = members.get(resource);
    const previous = member === undefined ? null : (member.snapshot?.role ?? 'init');
    try {
      if (member === undefined && !runtime.hast.resources.some(({ name }) => name === resource))
        throw new HastateError('unknown-resource', `there is no resource '${resource}' in hast.conf`);
      const group = this.#sources.groupOf(resource);
      if (member === undefined || group === null)
        throw new HastateError('not-started', 'the node is still starting: try again in a moment');
      await (group.byHand ? this.#byHand(group, member, role) : this.#grouped(group, resource, role));
      return { resource, previous, error: null, code: null, number: 0 };
    } catch (cause) {
      const code = cause instanceof HastateError ? this.#codeOf(cause, resource) : 'internal';
      const error = describeError(cause);
      const number = NUMBERS[code] ?? errnoToWire('EIO');
      // hastctl is told only the number: the reason has to be somewhere.
      runtime.journal.add({
        kind: 'operator.role',
        level: 'warn',
        message: `role ${role} for ${resource} is refused with ${number}: ${error}`,
        ...(member === undefined ? {} : { resource }),
      });
      return { resource, previous, error, code, number };
    }
  }

  /** Tells what can change by itself, and what a disk is in the way of, from a plain no. */
  #codeOf({ code }: HastateError, resource: string): string {
    if (code !== 'promotion-refused') return code;
    const verdict = this.#sources.groupOf(resource)?.verdict(OPERATOR).verdict;
    if (verdict?.answer === 'wait') return 'promotion-waits';
    return verdict?.reasons.some((reason) => reason.code === 'disk-error') === true ? 'role-failed' : code;
  }

  /** As hastd: outside any group only a person gives roles. */
  async #byHand(group: Group, member: Member, role: HastRole): Promise<void> {
    switch (role) {
      case 'primary':
        if (group.role === 'primary') return;
        await member.ready(CHANGE_MS);
        await this.#untilPrimaryIsGone(group, member);
        await group.promote(OPERATOR, 'serving', CHANGE_MS);
        return;
      case 'secondary':
        await group.beSecondary(CHANGE_MS);
        return;
      case 'init':
        await group.demote('an operator gave it role init', null, CHANGE_MS);
        if (group.state !== 'idle')
          throw new HastateError('role-failed', `${group.settings.name} is ${group.state}: try again`);
        await member.closeDisk();
    }
  }

  /** In a group the resource moves with the others, and the policy goes on deciding afterwards. */
  async #grouped(group: Group, resource: string, role: HastRole): Promise<void> {
    const { name, policy } = group.settings;
    switch (role) {
      case 'primary':
        await group.promote(OPERATOR, 'serving', CHANGE_MS);
        return;
      case 'secondary':
        if (group.role === 'primary' && policy !== 'manual' && !hasRival(group.evidence()))
          await this.#handOver(group, resource);
        else await group.beSecondary(CHANGE_MS);
        return;
      case 'init':
        throw new HastateError(
          'role-grouped',
          `${resource} moves with group ${name} of hastate.yaml, which keeps it secondary or primary: ` +
            `use 'hastate switchover ${name}', or 'hastate stop'`,
        );
    }
  }

  /** Just stepping down would be undone at once by whoever may lead, which may be this node. */
  async #handOver(group: Group, resource: string): Promise<void> {
    const { runtime } = this.#sources;
    const peer = runtime.settings.peer?.name ?? '';
    const why = group.peerReady();
    if (why === null) {
      await switchAway(runtime, group, peer, peer, false);
      return;
    }
    throw new HastateError(
      'role-kept',
      `${resource} stays primary: group ${group.settings.name} would only make this node primary again, ` +
        `because ${why}; resolve that, or set 'policy: manual'`,
    );
  }

  /** E1: of a plain hastd only the end of its connection tells that it is gone, and any word that it is not. */
  async #untilPrimaryIsGone(group: Group, { lease }: Member): Promise<void> {
    const { clock } = this.#sources.runtime;
    const since = clock.now();
    const connected = (): boolean =>
      group.verdict(OPERATOR).verdict.reasons.some((reason) => reason.code === 'primary-connected');
    while (connected() && lease.heardAt('dataLink') <= since && clock.now() < since + SILENCE_MS)
      await new Promise<void>((resolve) => {
        clock.after(SILENCE_POLL_MS, resolve);
      });
  }
}
