/**
 * Two nodes in network namespaces of their own, joined by a data link and a peer link, and a third
 * namespace with the reference address that each reaches by a link of its own.
 * Needs root, netns and nft.
 */
import { execa } from 'execa';

import { type LabNode, NODES } from './daemon.ts';
import type { LabNet } from './lab.ts';

export type LinkName = 'data0' | 'peer0' | 'ref0';

/** What both reach while their `ref0` works. */
export const REFERENCE = '10.79.9.9';
const OCTETS = { data0: 1, peer0: 2 } as const;
const HOST: Readonly<Record<LabNode, number>> = { hasta: 1, hastb: 2 };
const REFERENCE_NET: Readonly<Record<LabNode, string>> = { hasta: '10.79.3', hastb: '10.79.4' };
let made = 0;

function addresses(link: keyof typeof OCTETS): Record<LabNode, string> {
  return { hasta: `10.79.${OCTETS[link]}.1`, hastb: `10.79.${OCTETS[link]}.2` };
}

export class Namespaces {
  readonly net: LabNet;
  readonly #names: Readonly<Record<LabNode | 'ref', string>>;

  private constructor(names: Record<LabNode | 'ref', string>) {
    this.#names = names;
    const enter = (node: LabNode): string[] => ['ip', 'netns', 'exec', names[node]];
    this.net = {
      data: addresses('data0'),
      peer: addresses('peer0'),
      enter: { hasta: enter('hasta'), hastb: enter('hastb') },
    };
  }

  static async make(): Promise<Namespaces> {
    made += 1;
    const name = (letter: string): string => `hafo-${letter}${made}-${process.pid}`;
    const namespaces = new Namespaces({ hasta: name('a'), hastb: name('b'), ref: name('r') });
    try {
      await namespaces.#build();
    } catch (error) {
      await namespaces.close();
      throw error;
    }
    return namespaces;
  }

  async #build(): Promise<void> {
    const { hasta, hastb, ref } = this.#names;
    for (const name of [hasta, hastb, ref]) {
      await execa('ip', ['netns', 'add', name]);
      await ip(name, 'link', 'set', 'lo', 'up');
    }
    for (const link of ['data0', 'peer0'] as const) {
      await ip(hasta, 'link', 'add', link, 'type', 'veth', 'peer', 'name', link, 'netns', hastb);
      const own = addresses(link);
      for (const node of NODES) await up(this.#names[node], link, own[node]);
    }
    await ip(ref, 'address', 'add', `${REFERENCE}/32`, 'dev', 'lo');
    for (const node of NODES) {
      const name = this.#names[node];
      const gateway = `${REFERENCE_NET[node]}.254`;
      await ip(name, 'link', 'add', 'ref0', 'type', 'veth', 'peer', 'name', node, 'netns', ref);
      await up(ref, node, gateway);
      await up(name, 'ref0', `${REFERENCE_NET[node]}.${HOST[node]}`);
      await ip(name, 'route', 'add', REFERENCE, 'via', gateway);
    }
    for (const node of NODES) {
      const rules = 'table inet cut { chain in { type filter hook input priority 0; }; }';
      await execa('ip', ['netns', 'exec', this.#names[node], 'nft', '-f', '-'], { input: rules });
    }
  }

  /** From now on nothing that comes in there arrives: packets vanish, no error tells. */
  async cut(node: LabNode, ...links: readonly LinkName[]): Promise<void> {
    for (const link of links)
      await this.#nft(node, 'add', 'rule', 'inet', 'cut', 'in', 'iifname', link, 'drop');
  }

  /** Both directions of a link between the nodes. */
  async cutBoth(...links: readonly LinkName[]): Promise<void> {
    for (const node of NODES) await this.cut(node, ...links);
  }

  async heal(): Promise<void> {
    for (const node of NODES) await this.#nft(node, 'flush', 'chain', 'inet', 'cut', 'in');
  }

  async #nft(node: LabNode, ...words: readonly string[]): Promise<void> {
    await execa('ip', ['netns', 'exec', this.#names[node], 'nft', ...words]);
  }

  async close(): Promise<void> {
    for (const name of Object.values(this.#names))
      await execa('ip', ['netns', 'del', name], { reject: false });
  }
}

async function up(name: string, link: string, address: string): Promise<void> {
  await ip(name, 'address', 'add', `${address}/24`, 'dev', link);
  await ip(name, 'link', 'set', link, 'up');
}

async function ip(name: string, ...words: readonly string[]): Promise<void> {
  await execa('ip', ['-n', name, ...words]);
}
