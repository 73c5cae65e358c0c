/**
 * Two network namespaces joined by a veth pair `lan0`, with processes of ours in both: advert nodes, and a wire tap
 * that sees and writes frames. Needs root, netns, koffi.
 */
import { spawn } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';
import { execa } from 'execa';

import type { AdvertNodeCommand } from '../fixtures/advert-node.ts';
import type { WireTapCommand } from '../fixtures/wire-tap.ts';
import { built } from './built.ts';
import { talk } from './talker.ts';
import type { Talker } from './talker.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NATIVE = ['koffi', 'raw-socket'] as const;
const PACKAGES = { koffi: ['koffi', '@koromix'], 'raw-socket': ['raw-socket'] } as const;
const SIDES = ['a', 'b'] as const;
export type Side = (typeof SIDES)[number];
/** Which native package reads the sockets. */
export type Way = (typeof NATIVE)[number];

export interface Speaker<Command> extends Talker {
  tell(command: Command): void;
  /** The first line from index `from` on (default: from the beginning) that has this key. */
  says(key: string, ms?: number, from?: number): Promise<Record<string, unknown>>;
}

let made = 0;

export class SegmentLab {
  readonly names: Readonly<Record<Side, string>>;
  readonly directory: string;
  readonly #talkers: Talker[] = [];

  private constructor(directory: string) {
    made += 1;
    this.directory = directory;
    this.names = { a: `hasg-a${made}-${process.pid}`, b: `hasg-b${made}-${process.pid}` };
  }

  /** Each side has 10.77.0.1/24 or .2/24 and fd77::1/64 or ::2/64 on `lan0`. */
  static async make(): Promise<SegmentLab> {
    const lab = new SegmentLab(await mkdtemp(join(tmpdir(), 'hastate-segment-')));
    return built(lab, () => lab.#build());
  }

  async #build(): Promise<void> {
    const { a, b } = this.names;
    await chmod(this.directory, 0o755);
    for (const name of [a, b]) await execa('ip', ['netns', 'add', name]);
    for (const side of SIDES) await this.ip(side, 'link', 'set', 'lo', 'up');
    await this.makeLink();
    for (const way of NATIVE) {
      const place = join(this.directory, way);
      await mkdir(join(place, 'node_modules'), { recursive: true });
      // Copied, so that users who may not look into the checkout find them.
      for (const name of PACKAGES[way]) {
        const from = join(ROOT, 'node_modules', name);
        await cp(from, join(place, 'node_modules', name), { recursive: true, force: false });
      }
      await bundleFixture('advert-node', place);
    }
    await bundleFixture('wire-tap', join(this.directory, 'koffi'));
  }

  /** The veth pair with its addresses: made, or made anew after `ip link del`. */
  async makeLink(): Promise<void> {
    const { b } = this.names;
    await this.ip('a', 'link', 'add', 'lan0', 'type', 'veth', 'peer', 'name', 'lan0', 'netns', b);
    for (const [side, host] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      await this.ip(side, 'address', 'add', `10.77.0.${host}/24`, 'dev', 'lan0');
      await this.ip(side, 'link', 'set', 'lan0', 'addrgenmode', 'none');
      await this.ip(side, 'link', 'set', 'lan0', 'up');
    }
    for (const side of SIDES) await this.linkUp(side);
  }

  async ip(side: Side, ...words: readonly string[]): Promise<string> {
    return (await execa('ip', ['-n', this.names[side], ...words])).stdout;
  }

  /** Also gives the IPv6 addresses back that went with the link, and waits until the link carries. */
  async linkUp(side: Side): Promise<void> {
    await this.ip(side, 'link', 'set', 'lan0', 'up');
    const host = side === 'a' ? 1 : 2;
    for (const address of [`fd77::${host}/64`, `fe80::${host}/64`]) {
      await this.ip(side, 'address', 'replace', address, 'dev', 'lan0', 'nodad');
    }
    for (const each of SIDES) {
      // The kernel may take a second to notice; until then it drops what is sent.
      while (!(await this.ip(each, 'link', 'show', 'lan0')).includes('state UP'));
    }
  }

  async in(side: Side, ...argv: readonly string[]): Promise<string> {
    return (await execa('ip', ['netns', 'exec', this.names[side], ...argv])).stdout;
  }

  /** @param as words in front of the program, e.g. setpriv */
  advertNode(side: Side, way: Way = 'koffi', as: readonly string[] = []): Speaker<AdvertNodeCommand> {
    return this.start(
      side,
      ...as,
      process.execPath,
      '--expose-gc',
      join(this.directory, way, 'advert-node.mjs'),
    );
  }

  async wireTap(side: Side): Promise<Speaker<WireTapCommand>> {
    const tap = this.start<WireTapCommand>(
      side,
      process.execPath,
      join(this.directory, 'koffi', 'wire-tap.mjs'),
      'lan0',
    );
    await tap.says('tapping');
    return tap;
  }

  start<Command>(side: Side, ...argv: readonly string[]): Speaker<Command> {
    const talker = talk(spawn('ip', ['netns', 'exec', this.names[side], ...argv]));
    this.#talkers.push(talker);
    return {
      ...talker,
      tell: (command) => talker.write(`${JSON.stringify(command)}\n`),
      says: async (key, ms = 10_000, from = 0) =>
        JSON.parse(await talker.line((line) => line.startsWith(`{"${key}":`), ms, from)) as Record<
          string,
          unknown
        >,
    };
  }

  async endProcesses(): Promise<void> {
    for (const talker of this.#talkers.splice(0)) await talker.kill('SIGKILL');
  }

  async close(): Promise<void> {
    await this.endProcesses();
    for (const name of Object.values(this.names))
      await execa('ip', ['netns', 'del', name], { reject: false });
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** As one file that runs wherever it is put. */
export async function bundleFixture(fixture: string, place: string): Promise<void> {
  await build({
    entryPoints: [join(ROOT, `test/fixtures/${fixture}.ts`)],
    outfile: join(place, `${fixture}.mjs`),
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: [...NATIVE],
    banner: {
      js: "import { createRequire as hostRequire } from 'node:module'; const require = hostRequire(import.meta.url);",
    },
    logLevel: 'error',
  });
}
