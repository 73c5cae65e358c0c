/** The files of the demonstration: two disks, one hast.conf, one hastate.yaml, a secret. All in one directory. */
import { constants } from 'node:fs';
import { chmod, copyFile, mkdir, open, readdir, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { execa } from 'execa';

export const NODES = ['hasta', 'hastb'] as const;
export type DemoNode = (typeof NODES)[number];
export const GROUP = 'storage';
export const RESOURCE = 'disk1';
export const ADDRESS = '127.0.0.80/32';
const HOSTS: Readonly<Record<DemoNode, string>> = { hasta: '127.0.0.11', hastb: '127.0.0.12' };

export interface Scene {
  readonly directory: string;
  readonly hastConf: string;
  readonly hastateYaml: string;
  readonly diskBytes: number;
  /** The resource carries a file system that the hooks mount. */
  readonly fileSystem: 'ext4' | null;
  control(node: DemoNode): string;
  stateDir(node: DemoNode): string;
  disk(node: DemoNode): string;
  log(node: DemoNode): string;
  mountpoint(node: DemoNode): string;
  /** Where the client that writes to the file system learns whether it may: it runs as a service of the group. */
  serviceDir(node: DemoNode): string;
}

/** Starts and stops the demonstration's client as any service hook does: `stop` waits until it let go. */
const SERVICE_HOOK = `#!/bin/sh
# hastate: timeout=20s retries=0 verbs=start,stop,status
dir=$HASTATE_PARAM_DIR
case $1 in
start) : >"$dir/go" ;;
stop)
	rm -f "$dir/go"
	while ls "$dir" | grep -q '^busy'; do sleep 0.01; done
	;;
status) [ -e "$dir/go" ] || exit 3 ;;
esac
`;

/** A free TCP port on a host, for this run only. */
async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error(`no port on ${host}`);
  return address.port;
}

export async function buildScene(options: {
  directory: string;
  fileSystem: 'ext4' | null;
  diskMiB: number;
  hooksDir: string;
}): Promise<Scene> {
  const { directory, fileSystem } = options;
  const at = (node: DemoNode, ...rest: string[]): string => join(directory, node, ...rest);
  for (const node of NODES) {
    await mkdir(at(node, 'state'), { recursive: true });
    await mkdir(at(node, 'service'));
  }
  const scene: Scene = {
    directory,
    hastConf: join(directory, 'hast.conf'),
    hastateYaml: join(directory, 'hastate.yaml'),
    diskBytes: options.diskMiB * 1024 * 1024,
    fileSystem,
    control: (node) => at(node, 'control.sock'),
    stateDir: (node) => at(node, 'state'),
    disk: (node) => at(node, 'disk1.img'),
    log: (node) => at(node, 'hastated.log'),
    mountpoint: (node) => at(node, 'mnt'),
    serviceDir: (node) => at(node, 'service'),
  };
  const ports = { data: {} as Record<DemoNode, number>, peer: {} as Record<DemoNode, number> };
  for (const node of NODES) {
    ports.data[node] = await freePort(HOSTS[node]);
    ports.peer[node] = await freePort(HOSTS[node]);
  }
  await writeFile(scene.hastConf, hastConf(scene, ports.data));
  await writeSecret(join(directory, 'secret'), 32);
  await writeSecret(join(directory, 'carp-password'), 8);
  const advertPort = await freePort(HOSTS.hasta);
  const hooksDir = await copyHooks(options.hooksDir, join(directory, 'hooks'));
  await writeFile(scene.hastateYaml, hastateYaml(scene, ports.peer, advertPort, hooksDir));
  return scene;
}

/** The shipped hooks, owned by this user and writable by nobody else, whatever the checkout's umask was. */
async function copyHooks(from: string, to: string): Promise<string> {
  await mkdir(to, { mode: 0o755 });
  for (const { name } of (await readdir(from, { withFileTypes: true })).filter((entry) => entry.isFile())) {
    await copyFile(join(from, name), join(to, name));
    await chmod(join(to, name), 0o755);
  }
  await writeFile(join(to, '50-client'), SERVICE_HOOK, { mode: 0o755 });
  return to;
}

async function writeSecret(path: string, bytes: number): Promise<void> {
  await writeFile(
    path,
    `${randomBytes(bytes)
      .toString('hex')
      .slice(0, 2 * bytes)}\n`,
    { mode: 0o600 },
  );
}

function hastConf(scene: Scene, ports: Readonly<Record<DemoNode, number>>): string {
  const nodes = NODES.map(
    (node) =>
      `on ${node} {\n\tcontrol ${scene.control(node)}\n\tpidfile ${join(scene.stateDir(node), 'hastated.pid')}\n\tlisten tcp4://${HOSTS[node]}:${ports[node]}\n}\n`,
  );
  const sections = NODES.map((node) => {
    const other: DemoNode = node === 'hasta' ? 'hastb' : 'hasta';
    return `\ton ${node} {\n\t\tname ${RESOURCE}-${node}-${process.pid}\n\t\tlocal ${scene.disk(node)}\n\t\tremote tcp4://${HOSTS[other]}:${ports[other]}\n\t\tsource tcp4://${HOSTS[node]}\n\t}\n`;
  });
  return `${nodes.join('')}\nresource ${RESOURCE} {\n\treplication memsync\n\ttimeout 5\n${sections.join('')}}\n`;
}

function hastateYaml(
  scene: Scene,
  ports: Readonly<Record<DemoNode, number>>,
  advertPort: number,
  hooksDir: string,
): string {
  const hooks =
    scene.fileSystem === null
      ? []
      : [
          '    hooks:',
          '      20-ext4:',
          `        mountpoint: { hasta: ${scene.mountpoint('hasta')}, hastb: ${scene.mountpoint('hastb')} }`,
          '        create-mountpoint: "yes"',
          '      50-client:',
          `        dir: { hasta: ${scene.serviceDir('hasta')}, hastb: ${scene.serviceDir('hastb')} }`,
        ];
  return [
    'nodes:',
    ...NODES.map((node) => `  ${node}: { peer: '${HOSTS[node]}:${ports[node]}' }`),
    `secret-file: ${join(scene.directory, 'secret')}`,
    `advert-port: ${advertPort}`,
    `hooks-dir: ${hooksDir}`,
    'groups:',
    `  ${GROUP}:`,
    '    prefer: hasta',
    `    resources: [${RESOURCE}]`,
    ...hooks,
    ...(scene.fileSystem === null ? ['    device: none'] : []),
    '    address:',
    '      protocol: carp',
    '      interface: lo',
    '      vhid: 80',
    '      advbase: 0',
    '      advskew: { hasta: 26, hastb: 52 }',
    `      password-file: ${join(scene.directory, 'carp-password')}`,
    '      transport: udp',
    '      driver: simulated',
    `      addresses: [${ADDRESS}]`,
    'visualizer: false',
    '',
  ].join('\n');
}

/** Two equal, empty disks; with a file system where HAST's user data begins when asked for one. */
export async function createDisks(scene: Scene, dataOffset: number): Promise<void> {
  const first = await open(scene.disk('hasta'), 'wx', 0o600);
  try {
    await first.truncate(scene.diskBytes);
  } finally {
    await first.close();
  }
  if (scene.fileSystem !== null) {
    const blocks = Math.floor((scene.diskBytes - dataOffset) / 4096);
    await execa('mkfs.ext4', [
      '-q',
      '-F',
      '-b',
      '4096',
      '-E',
      `offset=${dataOffset}`,
      scene.disk('hasta'),
      String(blocks),
    ]);
  }
  await copyFile(scene.disk('hasta'), scene.disk('hastb'), constants.COPYFILE_FICLONE);
  await chmod(scene.disk('hastb'), 0o600);
}
