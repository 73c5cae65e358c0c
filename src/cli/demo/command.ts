/** `hastate demo`: two whole nodes on this machine, one crash, one verdict. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Command } from 'commander';
import { execa } from 'execa';
import colors from 'picocolors';

import { describeError } from '../../model/errors.ts';
import { layout } from '../../protocol/hast-layout.ts';
import { controlFeed } from '../../visualizer/control-feed.ts';
import { startVisualizer } from '../../visualizer/server.ts';
import { DemoDaemon } from './nodes.ts';
import { buildScene, createDisks, NODES, RESOURCE, type Scene } from './scene.ts';
import { type StoryResult, tellStory } from './story.ts';

const PACKAGE_ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const RUNNING = join(PACKAGE_ROOT, 'node_modules', '.hastate-running');
const EXTENT_BYTES = 2 * 1024 * 1024;
const SECTOR_BYTES = 512;

interface DemoOptions {
  readonly once?: boolean;
  readonly json?: boolean;
  readonly listen: string;
  readonly diskSize: string;
  readonly fileSystem: 'auto' | 'none' | 'ext4';
}

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('run two nodes here, kill one, verify every acknowledged block')
    .option('--once', 'stop everything when the story is over; exit 0 only if nothing was lost')
    .option('--json', 'end with one line of JSON')
    .option('--listen <host:port>', 'where the page is served', '127.0.0.1:8458')
    .option('--disk-size <MiB>', 'size of each disk', '64')
    .option('--file-system <kind>', 'auto, none or ext4 (needs root and nbdfuse)', 'auto')
    .action(async (options: DemoOptions) => {
      process.exitCode = await runDemo(options);
    });
}

/** Root and the tools are there to mount a real file system from the export. */
async function canMount(): Promise<boolean> {
  if (process.getuid?.() !== 0 || !existsSync('/dev/fuse')) return false;
  const found = await Promise.all(
    ['nbdfuse', 'losetup', 'mkfs.ext4', 'e2fsck', 'mount'].map((tool) =>
      execa('sh', ['-c', `command -v ${tool}`], { reject: false }),
    ),
  );
  return found.every(({ exitCode }) => exitCode === 0);
}

async function runDemo(options: DemoOptions): Promise<number> {
  const started = performance.now();
  const say = (text: string): void => {
    const seconds = ((performance.now() - started) / 1000).toFixed(3).padStart(7);
    process.stdout.write(`${colors.dim(`${seconds} s`)}  ${text}\n`);
  };
  const stopping = new AbortController();
  const interrupt = (): void => {
    stopping.abort(new Error('interrupted'));
  };
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);

  const fileSystem =
    options.fileSystem === 'none'
      ? null
      : options.fileSystem === 'ext4' || (await canMount())
        ? 'ext4'
        : null;
  const directory = await mkdtemp(join(tmpdir(), 'hastate-demo-'));
  await writeFile(RUNNING, `${process.pid}\n`).catch(() => undefined);
  const scene = await buildScene({
    directory,
    fileSystem,
    diskMiB: Number(options.diskSize),
    hooksDir: join(PACKAGE_ROOT, 'hooks'),
  });
  const daemons = { hasta: new DemoDaemon('hasta', scene), hastb: new DemoDaemon('hastb', scene) };
  const page = await openPage(scene, options.listen, say);
  let code = 1;
  try {
    say(`the demonstration lives in ${directory}`);
    await createDisks(scene, layout(scene.diskBytes, EXTENT_BYTES, SECTOR_BYTES).localoff);
    for (const node of NODES) await createResource(scene, node);
    say(
      `two disks of ${options.diskSize} MiB created${fileSystem === null ? '' : ' with an ext4 file system'}`,
    );
    const result = await tellStory({
      scene,
      daemons,
      signal: stopping.signal,
      say,
      progress: (done, total) => {
        showProgress(done, total);
      },
    });
    printTable(result);
    code = result.ok ? 0 : 1;
    if (options.once !== true && !stopping.signal.aborted) {
      say(`both nodes and the page at ${page?.url ?? '(none)'} keep running; Ctrl-C ends them`);
      say(`try: npx hastate --control ${scene.control('hasta')} status`);
      await new Promise((resolve) => {
        stopping.signal.addEventListener('abort', resolve, { once: true });
      });
    }
    if (options.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
  } catch (error) {
    if (stopping.signal.aborted) {
      say('interrupted');
    } else {
      process.stderr.write(`hastate demo: ${describeError(error)}\n`);
      process.stderr.write(`the files and logs of both nodes are kept in ${directory}\n`);
    }
  } finally {
    await Promise.all([daemons.hasta.stop(), daemons.hastb.stop()]);
    await page?.close();
    await rm(RUNNING, { force: true });
    if (code === 0 || stopping.signal.aborted) await removeFiles(directory);
    process.removeListener('SIGINT', interrupt).removeListener('SIGTERM', interrupt);
  }
  return code;
}

async function openPage(
  scene: Scene,
  listen: string,
  say: (text: string) => void,
): Promise<{ url: string; close(): Promise<void> } | null> {
  const colon = listen.lastIndexOf(':');
  try {
    const page = await startVisualizer({
      listen: { host: listen.slice(0, colon), port: Number(listen.slice(colon + 1)) },
      feeds: NODES.map((node) => controlFeed(node, scene.control(node))),
      log: () => undefined,
    });
    say(`watch it at ${page.url}`);
    return page;
  } catch (error) {
    say(`no page: ${describeError(error)}`);
    return null;
  }
}

/** By the same command that an operator uses. */
async function createResource(scene: Scene, node: (typeof NODES)[number]): Promise<void> {
  const cli = fileURLToPath(new URL('../main.js', import.meta.url));
  await execa(process.execPath, [cli, '-c', scene.hastConf, '-n', node, 'create', RESOURCE]);
}

function showProgress(done: number, total: number): void {
  if (!process.stdout.isTTY || total === 0) return;
  const width = 30;
  const filled = Math.min(width, Math.round((done / total) * width));
  process.stdout.write(
    `\r           resync [${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${Math.round((100 * done) / total)} %${done >= total ? '\n' : ''}`,
  );
}

function printTable(result: StoryResult): void {
  const rows: [string, string][] = [
    ['detection', `${result.detectionMs} ms`],
    ['promotion', `${result.promotionMs} ms`],
    ['write gap (crash)', `${result.writeGapMs} ms`],
    ['write gap (switchover)', `${result.switchoverGapMs} ms`],
    ['blocks acknowledged', String(result.acknowledged)],
    ['blocks lost', result.lost === 0 ? colors.green('0') : colors.red(String(result.lost))],
    ['resynced', `${result.resyncedBytes} bytes`],
    ['file system', result.fileSystem ?? 'none (raw blocks)'],
    ['adverts', result.adverts],
  ];
  process.stdout.write('\n');
  for (const [name, value] of rows) process.stdout.write(`  ${name.padEnd(24)} ${value}\n`);
  process.stdout.write(
    `\n  ${result.ok ? colors.green('nothing was lost, every step happened') : colors.red('FAILED')}\n\n`,
  );
}

/** Another process with mounts of its own may hold a device for a while: that is said and spoils nothing. */
async function removeFiles(directory: string): Promise<void> {
  // The keeper of a daemon that had to be killed may still be taking its device away.
  await rm(directory, { recursive: true, force: true, maxRetries: 4, retryDelay: 100 }).catch(
    (error: unknown) => {
      process.stderr.write(`hastate demo: ${directory} could not be removed: ${describeError(error)}\n`);
    },
  );
}
