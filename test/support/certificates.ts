/**
 * Certificates of two nodes, made by the very commands of docs/security.md; and those that nobody should have, by
 * `openssl ca`, which alone takes any date.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';

import type { NodeCertificates } from '../../src/model/certificates.ts';

const GUIDE = fileURLToPath(new URL('../../docs/security.md', import.meta.url));
const NAMES = ['hast1', 'hast2'] as const;

/**
 * For two nodes of these names: NODE.crt and NODE.key of each, authority.crt and authority.key.
 * @param days for which the nodes' are good; absent: as documented
 */
export async function makeCertificates(
  directory: string,
  nodes: readonly [string, string] = NAMES,
  days?: number,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const command of await documentedCommands()) {
    const own = NAMES.reduce((text, name, index) => text.replaceAll(name, nodes[index] ?? name), command);
    const dated = days === undefined ? own : own.replace('-days 825', `-days ${days}`);
    await execa('sh', ['-e', '-c', dated], { cwd: directory });
  }
}

/** In the order in which they have to be given. */
export async function documentedCommands(): Promise<string[]> {
  const blocks = (await readFile(GUIDE, 'utf8')).matchAll(/```sh\n(openssl .*?)```/gs);
  return [...blocks].flatMap(([, block = '']) =>
    block
      .replaceAll('\\\n', ' ')
      .split('\n')
      .filter((line) => line.trim() !== ''),
  );
}

export interface Wanted {
  /** Of the files. */
  readonly name: string;
  /** As `DNS:hast1`; absent: there is none. */
  readonly subjectAltName?: string;
  /** Years in which it is valid. Default: from 2020 to 2049. */
  readonly from?: number;
  readonly to?: number;
  /** More extensions, one line of openssl's configuration each. */
  readonly extensions?: readonly string[];
  /** It may sign others. */
  readonly authority?: boolean;
  /** Who signs it. Default: the authority. */
  readonly by?: string;
}

/** NAME.crt and NAME.key, in a directory of makeCertificates(). */
export async function issue(directory: string, wanted: Wanted): Promise<void> {
  const { name, subjectAltName, from = 2020, to = 2049, extensions = [], by = 'authority' } = wanted;
  const config = join(directory, `${name}.cnf`);
  const lines = [
    ...extensions,
    ...(subjectAltName === undefined ? [] : [`subjectAltName=${subjectAltName}`]),
  ];
  await writeFile(join(directory, `${name}.index`), '');
  await writeFile(
    config,
    `[ca]\ndefault_ca=default\n[default]\ndatabase=${name}.index\nnew_certs_dir=.\nrand_serial=yes\n` +
      'default_md=sha256\npolicy=policy\n[policy]\ncommonName=supplied\n' +
      `[leaf]\nbasicConstraints=critical,CA:${wanted.authority === true ? 'TRUE' : 'FALSE'}\n${lines.join('\n')}\n`,
  );
  const openssl = (...args: string[]) => execa('openssl', args, { cwd: directory });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.key`];
  await openssl('req', ...key, '-subj', `/CN=${name}`, '-out', `${name}.csr`);
  const dates = ['-startdate', `${from}0101000000Z`, '-enddate', `${to}0101000000Z`];
  const signer = ['-cert', `${by}.crt`, '-keyfile', `${by}.key`, '-extensions', 'leaf'];
  const files = ['-in', `${name}.csr`, '-out', `${name}.new`];
  await openssl('ca', '-batch', '-notext', '-config', config, ...signer, ...dates, ...files);
  await rename(join(directory, `${name}.new`), join(directory, `${name}.crt`));
}

/** @param authorities names of files without `.crt` */
export async function readCertificates(
  directory: string,
  name: string,
  authorities: readonly string[] = ['authority'],
): Promise<NodeCertificates> {
  const read = (file: string): Promise<string> => readFile(join(directory, file), 'utf8');
  const authority = await Promise.all(authorities.map((one) => read(`${one}.crt`)));
  return {
    certificate: await read(`${name}.crt`),
    key: await read(`${name}.key`),
    authority: authority.join(''),
  };
}
