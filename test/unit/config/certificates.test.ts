/** What is said about the files of `tls`, made by openssl on a real file system. */
import { appendFile, chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expiryWarnings, inspectCertificates } from '../../../src/config/certificates.ts';
import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { loadHastate } from '../../../src/config/hastate-yaml.ts';
import { CertificateWatch } from '../../../src/daemon/certificate-watch.ts';
import { StatusWarnings } from '../../../src/daemon/status-warnings.ts';
import { documentedCommands, issue, makeCertificates, readCertificates } from '../../support/certificates.ts';
import { needs } from '../../support/needs.ts';

const DAY_MS = 86_400_000;

describe.skipIf(needs('openssl'))('the certificates of a node', () => {
  let directory: string;
  const at = (name: string): string => join(directory, name);
  const files = (name: string) => ({
    certificate: at(`${name}.crt`),
    key: at(`${name}.key`),
    authority: at('authority.crt'),
  });
  const now = Date.parse('2030-06-01T00:00:00Z');

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'hastate-certificates-'));
    await makeCertificates(directory);
    await issue(directory, { name: 'node', subjectAltName: 'DNS:hast1' });
    await issue(directory, { name: 'other', subjectAltName: 'DNS:hast2' });
    await issue(directory, { name: 'nameless' });
    await issue(directory, { name: 'ends', subjectAltName: 'DNS:hast1', to: 2031 });
    const extensions = ['extendedKeyUsage=clientAuth'];
    await issue(directory, { name: 'client', subjectAltName: 'DNS:hast1', extensions });
  });
  afterAll(() => rm(directory, { recursive: true }));

  /** With authority.crt valid at that time. */
  async function findings(changes: Partial<ReturnType<typeof files>> = {}, time = now): Promise<string[]> {
    const { findings } = await inspectCertificates({ ...files('node'), ...changes }, 'hast1', time);
    return findings.map(({ field, severity, message, hint }) => `${field} ${severity}: ${message}; ${hint}`);
  }

  it('are good as the four commands of docs/security.md make them, with keys that are private', async () => {
    expect(await documentedCommands()).toHaveLength(4);
    const { certificates, findings } = await inspectCertificates(files('hast1'), 'hast1', Date.now());
    expect(findings).toEqual([]);
    expect(certificates).toEqual(await readCertificates(directory, 'hast1'));
  });

  it('are good with a certificate between them and the authority in the same file', async () => {
    const extensions = ['keyUsage=keyCertSign'];
    await issue(directory, { name: 'between', extensions, authority: true });
    await issue(directory, { name: 'deep', subjectAltName: 'DNS:hast1', by: 'between' });
    expect(await findings(files('deep'))).toEqual([expect.stringContaining('is of no authority in')]);
    await appendFile(at('deep.crt'), await readFile(at('between.crt')));
    expect(await findings(files('deep'))).toEqual([]);
    // TLS would look on for who signed that one.
    expect(await findings({ ...files('deep'), authority: at('between.crt') })).toEqual([
      expect.stringContaining('is of no authority in'),
    ]);
  });

  it.each<[string, () => Partial<ReturnType<typeof files>>, string, string]>([
    [
      'a file is not there',
      () => ({ certificate: at('no') }),
      'certificate error: cannot read',
      'no such file',
    ],
    ['the key is not there', () => ({ key: at('no') }), 'key error: cannot read', 'mode 0600'],
    [
      'the authority is not there',
      () => ({ authority: at('no') }),
      'authority error: cannot read',
      'no such',
    ],
    ['the key is of another', () => ({ key: at('other.key') }), 'key error: the key in', 'does not fit'],
    ['the key is no key', () => ({ key: at('secret') }), 'key error:', 'has no private key in PEM'],
    [
      'a certificate is none',
      () => ({ certificate: at('secret') }),
      'certificate error:',
      'no certificate in PEM',
    ],
    ['one is damaged', () => ({ certificate: at('damaged.crt') }), 'certificate error:', 'cannot be read'],
    [
      'the authority is another',
      () => ({ authority: at('other.crt') }),
      'authority error:',
      'of no authority',
    ],
    [
      'it is of the other node',
      () => files('other'),
      'certificate error:',
      'not for this node, hast1: it says DNS:hast2',
    ],
    [
      'it says no name',
      () => files('nameless'),
      'certificate error:',
      'no subjectAltName; make one with subjectAltName DNS:hast1',
    ],
    ['it is for clients alone', () => files('client'), 'certificate error:', 'is not for serverAuth'],
  ])('are refused with the field and a remedy when %s', async (_what, changes, start, words) => {
    await writeFile(at('secret'), 'no PEM at all\n', { mode: 0o600 });
    const whole = await readFile(at('node.crt'), 'utf8');
    await writeFile(at('damaged.crt'), whole.replace(/\nM.{20}/, '\nMAAAAAAAAAAAAAAAAAAAA'));
    const found = await findings(changes());
    expect(found).toEqual([expect.stringContaining(words)]);
    expect(found[0]?.startsWith(start)).toBe(true);
  });

  it('are refused when others may read the key', async () => {
    await copyFile(at('node.key'), at('open.key'));
    await chmod(at('open.key'), 0o644);
    expect(await findings({ key: at('open.key') })).toEqual([
      `key error: ${at('open.key')} has mode 0644 and not 0600; run 'chmod 0600 ${at('open.key')}'`,
    ]);
  });

  it('are refused before their time and after it, and warned about for the last 30 days', async () => {
    const end = Date.parse('2031-01-01T00:00:00Z');
    const ends = (time: number): Promise<string[]> => findings(files('ends'), time);
    expect(await ends(Date.parse('2019-12-31T23:59:59Z'))).toContainEqual(
      expect.stringMatching(
        /^certificate error: .* is not valid before Jan {2}1 00:00:00 2020 GMT; set this node's clock/,
      ),
    );
    expect(await ends(end - 31 * DAY_MS)).toEqual([]);
    expect(await ends(end - 29.5 * DAY_MS)).toEqual([
      expect.stringMatching(
        /^certificate warning: .* expires in 29 days, on Jan {2}1 00:00:00 2031 GMT; .*hastate reload/,
      ),
    ]);
    expect(await ends(end)).toEqual([
      expect.stringMatching(/^certificate error: .* expired on Jan {2}1 00:00:00 2031 GMT/),
    ]);
    const late = Date.parse('2040-01-01T00:00:00Z');
    expect(await findings({}, late)).toEqual([expect.stringContaining('every authority in')]);
  });

  it('are said in their place in hastate.yaml', async () => {
    const conf = 'resource d { on hast1 { local /1 remote 10.0.0.2 } on hast2 { local /1 remote 10.0.0.1 } }';
    const identity = { hostname: 'hast1', hostuuid: null, hostid: null };
    const hast = resolveHastConf(parseHastConf(conf, 'hast.conf'), { node: 'hast1', identity });
    const path = at('hastate.yaml');
    const { certificate, key, authority } = files('node');
    const yaml = (own: string): string =>
      `nodes: { hast1: { peer: 10.0.0.1 }, hast2: { peer: 10.0.0.2 } }\ntls:\n  certificate:\n    hast1: ${own}\n` +
      `    hast2: /no\n  key: ${key}\n  authority: ${authority}\n`;
    await writeFile(path, yaml(at('other.crt')));
    const refused = loadHastate(path, hast);
    await expect(refused).rejects.toThrow(
      `${path}:4:12: the certificate in ${at('other.crt')} is not for this`,
    );
    await expect(refused).rejects.toThrow(`${path}:6:8: the key in ${key} does not fit`);
    await writeFile(path, yaml(certificate));
    await expect(loadHastate(path, hast)).resolves.toMatchObject({ tls: { certificate } });
  });

  it('are in status when they end soon, and in the log once a day', async () => {
    const lines: string[] = [];
    const warnings = new StatusWarnings();
    const log = (_level: string, text: string): void => void lines.push(text);
    let time = Date.parse('2030-11-01T00:00:00Z');
    const certificates = await readCertificates(directory, 'ends');
    const runtime = { certificates: null as typeof certificates | null, log };
    const watch = new CertificateWatch(runtime, warnings, () => time);
    watch.look();
    expect(warnings.all.size).toBe(0);
    runtime.certificates = certificates;
    watch.tick();
    expect([lines, warnings.all.size]).toEqual([[], 0]);
    time = Date.parse('2030-12-30T00:00:00Z');
    for (let hour = 0; hour < 48; hour += 1) {
      watch.tick();
      time += DAY_MS / 24;
    }
    expect(lines).toEqual([
      'the certificate of this node expires in 2 days, on Jan  1 00:00:00 2031 GMT',
      'the certificate of this node expires in 1 day, on Jan  1 00:00:00 2031 GMT',
      'the certificate of this node expires in less than a day, on Jan  1 00:00:00 2031 GMT',
    ]);
    expect([...warnings.all]).toEqual(lines.slice(2));
    watch.tick();
    expect([...warnings.all][0]).toContain(
      'expired on Jan  1 00:00:00 2031 GMT: new connections are refused',
    );
    runtime.certificates = await readCertificates(directory, 'node');
    watch.look();
    expect(warnings.all.size).toBe(0);
    expect(expiryWarnings(runtime.certificates, Date.parse('2039-01-01T00:00:00Z'))).toEqual([
      expect.stringMatching(/^the authority CN=hastate expired/),
    ]);
  });
});
