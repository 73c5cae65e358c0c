/**
 * Two nodes in network namespaces of their own whose links `lan0` (adverts, addresses) and `data0` end at bridges in
 * a third one. There a client asks who answers at the shared address, a tap sees every advert, and links are cut.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { execa } from 'execa';

import type { CarpNodeOptions } from '../fixtures/carp-node.ts';
import { built } from './built.ts';
import type { LabNet } from './lab.ts';
import { bundleFixture } from './segment-lab.ts';
import { talk } from './talker.ts';
import type { Talker } from './talker.ts';
import { Timeline } from './timeline.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const BRIDGE_NEEDS = ['root', 'netns', 'ip', 'bridge', 'koffi', 'raw-socket'] as const;
export const SIDES = ['a', 'b'] as const;
export type Side = (typeof SIDES)[number];
export type BridgeLink = 'lan0' | 'data0';
/** What both reach over `lan0` beside each other. */
export const CLIENT = '10.78.0.9';
const LINKS = ['lan0', 'data0'] as const;
const HOST = { a: 1, b: 2 } as const;
const FIXTURES = ['carp-node', 'address-probe', 'wire-tap'] as const;
let made = 0;

export class BridgeLab {
  readonly names: Readonly<Record<Side | 'middle', string>>;
  readonly directory: string;
  readonly net: LabNet;
  readonly #bundles: string;
  readonly #talkers: Talker[] = [];

  private constructor(directory: string) {
    made += 1;
    const name = (letter: string): string => `habr-${letter}${made}-${process.pid}`;
    this.directory = directory;
    this.names = { a: name('a'), b: name('b'), middle: name('m') };
    // Native packages are found from where the bundles lie.
    this.#bundles = join(ROOT, 'node_modules/.cache', `bridge-lab-${made}-${process.pid}`);
    const enter = (side: Side): string[] => ['ip', 'netns', 'exec', this.names[side]];
    this.net = {
      data: { hasta: '10.79.1.1', hastb: '10.79.1.2' },
      peer: { hasta: '10.78.0.1', hastb: '10.78.0.2' },
      alsoPeer: { hasta: '10.79.1.1', hastb: '10.79.1.2' },
      enter: { hasta: enter('a'), hastb: enter('b') },
    };
  }

  /** Each side has 10.78.0.1/24 or .2/24, fd78::1 or ::2 and fe80::1 or ::2 on `lan0`, 10.79.1.1/24 or .2/24 on `data0`. */
  static async make(): Promise<BridgeLab> {
    const lab = new BridgeLab(await mkdtemp(join(tmpdir(), 'hastate-bridge-')));
    return built(lab, () => lab.#build());
  }

  async #build(): Promise<void> {
    const { middle } = this.names;
    for (const name of Object.values(this.names)) await execa('ip', ['netns', 'add', name]);
    for (const link of LINKS) {
      const bridge = ['type', 'bridge', 'mcast_snooping', '0', 'forward_delay', '0'];
      await this.ip('middle', 'link', 'add', link, ...bridge);
      await this.ip('middle', 'link', 'set', link, 'up');
      for (const side of SIDES) {
        const port = portOf(side, link);
        await this.ip(side, 'link', 'add', link, 'type', 'veth', 'peer', 'name', port, 'netns', middle);
        await this.ip(side, 'link', 'set', link, 'addrgenmode', 'none');
        await this.ip(side, 'link', 'set', link, 'up');
        await this.ip(side, 'link', 'set', 'lo', 'up');
        await this.ip('middle', 'link', 'set', port, 'master', link, 'up');
      }
    }
    for (const address of [`${CLIENT}/24`, 'fd78::9/64'])
      await this.ip('middle', 'address', 'add', address, 'dev', 'lan0', ...nodad(address));
    for (const side of SIDES) {
      await this.ip(side, 'address', 'add', `10.78.0.${HOST[side]}/24`, 'dev', 'lan0');
      await this.ip(side, 'address', 'add', `10.79.1.${HOST[side]}/24`, 'dev', 'data0');
    }
    for (const side of SIDES) await this.linkUp(side);
    await mkdir(this.#bundles, { recursive: true });
    for (const fixture of FIXTURES) await bundleFixture(fixture, this.#bundles);
  }

  async ip(where: Side | 'middle', ...words: readonly string[]): Promise<string> {
    return (await execa('ip', ['-n', this.names[where], ...words])).stdout;
  }

  async in(where: Side | 'middle', ...argv: readonly string[]): Promise<string> {
    return (await execa('ip', ['netns', 'exec', this.names[where], ...argv])).stdout;
  }

  /** Everything that a side sends and is sent vanishes there, and its link stays up. */
  async cut(side: Side, ...links: readonly BridgeLink[]): Promise<void> {
    await this.#ports(side, links, '0');
  }

  async heal(side: Side, ...links: readonly BridgeLink[]): Promise<void> {
    await this.#ports(side, links, '3');
  }

  async #ports(side: Side, links: readonly BridgeLink[], state: '0' | '3'): Promise<void> {
    await Promise.all(
      links.map((link) =>
        this.in('middle', 'bridge', 'link', 'set', 'dev', portOf(side, link), 'state', state),
      ),
    );
  }

  async linkDown(side: Side): Promise<void> {
    await this.ip(side, 'link', 'set', 'lan0', 'down');
  }

  /** Also gives the IPv6 addresses back that went with the link, and waits until the link carries. */
  async linkUp(side: Side): Promise<void> {
    await this.ip(side, 'link', 'set', 'lan0', 'up');
    for (const address of [`fd78::${HOST[side]}/64`, `fe80::${HOST[side]}/64`])
      await this.ip(side, 'address', 'replace', address, 'dev', 'lan0', 'nodad');
    while (!(await this.ip(side, 'link', 'show', 'lan0')).includes('state UP'));
    while (
      !(await this.in('middle', 'bridge', 'link', 'show', 'dev', portOf(side, 'lan0'))).includes('forwarding')
    );
  }

  start(where: Side | 'middle', ...argv: readonly string[]): Talker {
    const talker = talk(spawn('ip', ['netns', 'exec', this.names[where], ...argv]));
    this.#talkers.push(talker);
    return talker;
  }

  #fixture(where: Side | 'middle', name: (typeof FIXTURES)[number], ...args: readonly string[]): Talker {
    return this.start(where, process.execPath, join(this.#bundles, `${name}.mjs`), ...args);
  }

  carpNode(side: Side, options: Omit<CarpNodeOptions, 'interface'>): Talker {
    return this.#fixture(side, 'carp-node', JSON.stringify({ ...options, interface: 'lan0' }));
  }

  /** From now on all that happens to a shared address is noted. */
  async watch(address: string): Promise<Timeline> {
    const timeline = new Timeline(address);
    for (const side of SIDES) {
      const server = this.#fixture(side, 'address-probe', 'serve', side);
      await server.line((line) => line.includes('ready'), 10_000);
      timeline.followAddresses(this.start(side, 'ip', '-o', 'monitor', 'address'), side);
      const tap = this.#fixture('middle', 'wire-tap', portOf(side, 'lan0'), 'timed');
      await tap.line((line) => line.includes('tapping'), 10_000);
      const mac = (await this.in(side, 'cat', '/sys/class/net/lan0/address')).trim().replaceAll(':', '');
      timeline.followAdverts(tap, side, mac);
    }
    const client = this.#fixture('middle', 'address-probe', 'ask', address);
    await client.line((line) => line.includes('ready'), 10_000);
    timeline.followAnswers(client);
    return timeline;
  }

  async close(): Promise<void> {
    for (const talker of this.#talkers.splice(0)) await talker.kill('SIGKILL');
    for (const name of Object.values(this.names))
      await execa('ip', ['netns', 'del', name], { reject: false });
    await rm(this.directory, { recursive: true, force: true });
    await rm(this.#bundles, { recursive: true, force: true });
  }
}

function portOf(side: Side, link: BridgeLink): string {
  return `${side}-${link}`;
}

function nodad(address: string): string[] {
  return address.includes(':') ? ['nodad'] : [];
}
