/** What hastate.yaml may say about how the two nodes know each other. */
import { expect, it } from 'vitest';
import { ConfigFileError } from '../../../src/config/diagnostics.ts';
import { parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import { parseHastate } from '../../../src/config/hastate-yaml.ts';
import type { HastateSettings } from '../../../src/model/settings.ts';

const CONF = 'resource disk1 { on hast1 { local /1 remote 10.0.0.2 } on hast2 { local /1 remote 10.0.0.1 } }';
const NODES = 'nodes: { hast1: { peer: 10.0.0.1 }, hast2: { peer: 10.0.0.2 } }';
const TLS = 'tls: { certificate: /c, key: /k, authority: /a }';

function settings(text: string, node = 'hast1'): HastateSettings {
  const identity = { hostname: node, hostuuid: null, hostid: null };
  return parseHastate(
    `${NODES}\n${text}`,
    'hastate.yaml',
    resolveHastConf(parseHastConf(CONF, 'hast.conf'), { identity }),
  );
}

it('takes certificates in place of a secret, by node where they have other names', () => {
  const byNode = 'tls: { certificate: { hast1: /1.crt, hast2: /2.crt }, key: /k, authority: /a }';
  expect(settings(byNode)).toMatchObject({
    secretFile: null,
    insecure: false,
    tls: { certificate: '/1.crt', key: '/k', authority: '/a' },
  });
  expect(settings(byNode, 'hast2').tls?.certificate).toBe('/2.crt');
});

it.each([
  ['', 1, 1, "'secret-file' is missing", "or 'tls' with certificates"],
  [`secret-file: /x\n${TLS}`, 3, 1, "'tls' and 'secret-file' exclude each other", 'remove one'],
  [`${TLS}\ninsecure: true`, 3, 1, "'insecure' and 'tls' exclude each other", 'remove one'],
  ['tls: { certificate: /c, key: /k }', 2, 1, "'tls.authority' is missing", 'add it'],
  ['tls: { certificate: c, key: /k, authority: /a }', 2, 21, "'tls.certificate' must be an absolute", "'c'"],
  ['tls: { cert: /c, key: /k, authority: /a }', 2, 8, "unknown key 'tls.cert'", "write 'certificate'"],
  ['tls: { certificate: /c, key: /k, ca-file: /a }', 2, 34, "'tls.ca-file'", "write 'authority'"],
  ['ssl: { certificate: /c, key: /k, authority: /a }', 2, 1, "unknown key 'ssl'", "write 'tls'"],
  [
    'tls: { certificate: /c, key: { hast1: /k }, authority: /a }',
    2,
    25,
    "'tls.key' has no value for node hast2",
    "add 'hast2: ...'",
  ],
])('refuses %j at %i:%i', (text, line, column, message, hint) => {
  try {
    settings(text);
    expect.unreachable();
  } catch (error) {
    const [first] = error instanceof ConfigFileError ? error.diagnostics : [];
    expect(first).toMatchObject({ line, column, severity: 'error' });
    expect(first?.message).toContain(message);
    expect(first?.hint ?? '').toContain(hint);
  }
});
