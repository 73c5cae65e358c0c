/**
 * Resolves a split-brain by the group's `after-split`, as an operator's `hastate resolve` would: the node
 * that keeps its copy carries it out. What is decided stands in both journals.
 * @see SAFETY D5, src/model/after-split.ts
 */
import {
  type AfterSplitNow,
  type AfterSplitVerdict,
  judgeAfterSplit,
  type MemberCopies,
} from '../model/after-split.ts';
import { describeError } from '../model/errors.ts';
import { splitBetween } from '../model/resolve.ts';
import type { GroupSettings } from '../model/settings.ts';
import type { Group } from './bind/group.ts';
import { look, lookAtPeer, type ResolvePorts, resolveSplit } from './resolve.ts';

export class AfterSplitDesk {
  readonly #ports: ResolvePorts;
  #busy = false;
  /** Group -> what was said of it last. */
  readonly #said = new Map<string, string>();

  constructor(ports: ResolvePorts) {
    this.#ports = ports;
  }

  /** Called again and again; one look at a time. Never rejects. */
  async look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (const group of this.#ports.sources.groups.values()) await this.#lookAt(group);
    } finally {
      this.#busy = false;
    }
  }

  async #lookAt(group: Group): Promise<void> {
    const { settings } = group;
    if (settings.afterSplit === 'disconnect' || settings.peerKind !== 'hastate') return;
    if (!this.#isSplit(settings)) {
      this.#said.delete(settings.name);
      return;
    }
    const { peer } = this.#ports.runtime.settings;
    if (peer === null) return;
    try {
      await this.#decide(group, peer.name);
    } catch (error) {
      this.#say(
        settings,
        'warn',
        `it could not be carried out, both copies are kept: ${describeError(error)}`,
      );
    }
  }

  /** As far as the peer's last words tell, which costs nothing. */
  #isSplit({ resources }: GroupSettings): boolean {
    const { runtime, sources } = this.#ports;
    return resources.some((name) => {
      const ours = sources.members.get(name)?.snapshot?.record;
      const theirs = runtime.peer.resource(name)?.record;
      return ours !== undefined && theirs !== undefined && splitBetween(ours, theirs) !== null;
    });
  }

  async #decide(group: Group, peer: string): Promise<void> {
    const { node } = this.#ports.runtime;
    const { settings } = group;
    const facts = await this.#facts(settings, peer);
    const verdict = judgeAfterSplit(settings.afterSplit, facts, this.#now(group, peer));
    if (verdict.answer === 'none') return;
    if (verdict.answer === 'disconnect') {
      const [first] = settings.resources;
      this.#say(
        settings,
        'error',
        `nothing is discarded, decide with 'hastate resolve ${first ?? ''} --discard NODE': ${verdict.why}`,
      );
      return;
    }
    this.#say(settings, 'warn', `${verdict.discard} is discarded and ${verdict.keep} kept: ${verdict.why}`);
    // The other node comes to the same answer and carries it out.
    if (verdict.keep === node) await this.#carryOut(settings, verdict);
  }

  #now({ settings: { name }, role }: Group, peer: string): AfterSplitNow {
    const { node, holds, peer: words } = this.#ports.runtime;
    const theirs = words.group(name);
    const held = { [node]: holds.of(name)?.code, [peer]: theirs?.hold };
    return {
      roleUnsure: role === 'changing' || role === 'stuck' || theirs?.changing === true,
      maintenance: [node, peer].filter((one) => held[one] === 'maintenance').sort(),
    };
  }

  async #facts({ resources }: GroupSettings, peer: string): Promise<MemberCopies[]> {
    return Promise.all(
      resources.map(async (resource) => {
        const theirs = await lookAtPeer(this.#ports, resource, peer);
        return { resource, copies: [await look(this.#ports, resource), theirs] } as const;
      }),
    );
  }

  async #carryOut(
    settings: GroupSettings,
    { resources, discard }: Extract<AfterSplitVerdict, { answer: 'discard' }>,
  ): Promise<void> {
    for (const resource of resources) {
      const order = { resource, discard, dryRun: false, demote: false, policy: settings.afterSplit };
      const { done, verdict, notes } = await resolveSplit(this.#ports, order);
      const why = done ? notes : verdict.reasons.map(({ text }) => text);
      if (why.length > 0) this.#say(settings, 'warn', why.join('; '));
    }
  }

  #say({ name, afterSplit }: GroupSettings, level: 'error' | 'warn', text: string): void {
    if (this.#said.get(name) === text) return;
    this.#said.set(name, text);
    this.#ports.runtime.journal.add({
      kind: 'split.policy',
      level,
      group: name,
      message: `${name}: split-brain under 'after-split: ${afterSplit}': ${text}`,
    });
  }
}
