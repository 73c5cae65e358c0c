import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigFileError, formatDiagnostic } from '../../../src/config/diagnostics.ts';
import type { Diagnostic } from '../../../src/config/diagnostics.ts';
import { loadHastConf, parseHastConf, resolveHastConf } from '../../../src/config/hast-conf.ts';
import type { Identity } from '../../../src/config/identity.ts';
import type { HastSettings } from '../../../src/model/settings.ts';

const identity: Identity = { hostname: 'hasta.example.org', hostuuid: 'ABCD-1', hostid: '42' };

function settings(text: string, node?: string, warnings: Diagnostic[] = []): HastSettings {
  const tree = parseHastConf(text, 'hast.conf');
  warnings.push(...tree.warnings);
  return resolveHastConf(tree, { node, identity, onWarning: (warning) => warnings.push(warning) });
}

function faults(text: string, node?: string): readonly Diagnostic[] {
  try {
    settings(text, node);
  } catch (error) {
    if (error instanceof ConfigFileError && error.code === 'config-invalid') return error.diagnostics;
    throw error;
  }
  return [];
}

const TWO_NODES = `resource disk1 {
  on hasta { local /dev/da1  remote 10.0.0.2 }
  on hastb { local /dev/da2  remote 10.0.0.1 }
}`;

describe('hast.conf', () => {
  it('gives defaults to everything that a resource may leave out', () => {
    expect(settings(TWO_NODES)).toEqual({
      node: 'hasta',
      control: '/var/run/hastctl',
      pidfile: '/var/run/hastd.pid',
      listen: ['tcp4://0.0.0.0:8457', 'tcp6://[::]:8457'],
      resources: [
        {
          name: 'disk1',
          provname: 'disk1',
          local: '/dev/da1',
          remote: '10.0.0.2',
          source: null,
          replication: 'memsync',
          checksum: 'none',
          compression: 'hole',
          timeoutMs: 20_000,
          exec: null,
          metaflush: true,
          peer: 'hastb',
        },
      ],
    });
  });

  it('lets a node section override its resource and a resource override the top level', () => {
    const text = `
      replication async checksum crc32 compression lzf timeout 5 exec /etc/hook metaflush off
      control uds:///run/ctl pidfile /run/pid listen tcp4://127.0.0.1:1000
      on hasta { listen 127.0.0.1 control /run/mine } on hastb { listen 127.0.0.9 control /run/other }
      resource a { on hasta { local /a remote none } }
      resource b { # everything in one place or another
        replication fullsync checksum sha256 compression none timeout 7 exec /etc/b metaflush on
        name prov local /b
        on hasta { name mine metaflush off remote tcp6://[fe80::1]:99 source 10.0.0.1 } }`;
    const { resources, ...rest } = settings(text);
    expect(rest).toEqual({
      node: 'hasta',
      control: '/run/mine',
      pidfile: '/run/pid',
      listen: ['tcp4://127.0.0.1:1000', '127.0.0.1'],
    });
    expect(resources[0]).toMatchObject({ replication: 'async', checksum: 'crc32', compression: 'lzf' });
    expect(resources[0]).toMatchObject({
      timeoutMs: 5000,
      exec: '/etc/hook',
      metaflush: false,
      remote: null,
    });
    expect(resources[1]).toMatchObject({ replication: 'fullsync', checksum: 'sha256', compression: 'none' });
    expect(resources[1]).toMatchObject({
      timeoutMs: 7000,
      exec: '/etc/b',
      metaflush: false,
      provname: 'mine',
    });
    expect(resources[1]).toMatchObject({ local: '/b', remote: 'tcp6://[fe80::1]:99', source: '10.0.0.1' });
  });

  it.each(['hasta', 'hasta.example.org', 'abcd-1', 'ABCD-1', 'hostid42'])(
    'takes `on %s` for this node',
    (name) => {
      const text = `resource r { local /l on ${name} { remote 10.0.0.2 } on other { remote none } }`;
      expect(settings(text)).toMatchObject({
        node: name,
        resources: [{ remote: '10.0.0.2', peer: 'other' }],
      });
    },
  );

  it('takes the section that -n names and the other one for the peer', () => {
    expect(settings(TWO_NODES, 'hastb')).toMatchObject({
      node: 'hastb',
      resources: [{ local: '/dev/da2', remote: '10.0.0.1', peer: 'hasta' }],
    });
  });

  it('takes words that only start with a keyword or a digit', () => {
    const text = 'resource localdisk { on hasta { local 1a remote none name 2b } }';
    expect(settings(text).resources[0]).toMatchObject({ name: 'localdisk', local: '1a', provname: '2b' });
  });

  it('takes every form of an address that hastd takes', () => {
    const forms = [
      '10.0.0.1',
      '10.0.0.1:99',
      'TCP4://10.0.0.1',
      'tcp://host.example.org:1',
      'tcp6://[fe80::1]:65535',
      '[::1]:8457',
      'fe80::1',
      '::',
      'tcp6://::1',
    ];
    expect(settings(forms.map((form) => `listen ${form}`).join(' ')).listen).toEqual(forms);
    for (const form of forms) {
      const text = `resource r { on hasta { local /l remote ${form} source ${form} } }`;
      expect(settings(text).resources[0]).toMatchObject({ remote: form, source: form });
    }
  });

  it.each(['/run/ctl', 'uds:///run/ctl', 'unix:///run/ctl', 'UDS:///run/ctl'])(
    'takes control as %s',
    (text) => {
      expect(settings(`control ${text}`).control).toBe('/run/ctl');
    },
  );

  it('takes what is longest: names, paths, and more digits than fit into a number for a word with a letter', () => {
    const name = 'n'.repeat(254);
    const path = `/${'p'.repeat(1022)}`;
    const text = `pidfile ${path} resource ${name} { exec ${path} on hasta { name ${name} local ${path} remote none } }`;
    expect(settings(text).resources[0]).toMatchObject({ name, provname: name, local: path, exec: path });
  });

  it('looks only at the sections of this node for what must be there, and at all of them for what is no hast.conf', () => {
    const other = 'on elsewhere { local /x remote nonsense://x listen }';
    expect(faults(`resource r { on hasta { local /l remote none } ${other} }`)[0]?.message).toContain(
      "'listen' cannot stand",
    );
    const unusable = 'on elsewhere { remote nonsense://x }';
    expect(settings(`resource r { on hasta { local /l remote none } ${unusable} }`).resources[0]?.peer).toBe(
      'elsewhere',
    );
  });

  it('lets the last of several statements count, as hastd does, and adds up `listen`', () => {
    const text =
      'timeout 3 timeout 4 listen 10.0.0.1 on hasta { listen 10.0.0.2 listen ::1 } on hasta.example.org { listen 10.0.0.3 }';
    const found = settings(`${text} resource r { on hasta { local /a remote none } on hasta { local /b } }`);
    expect(found.listen).toEqual(['10.0.0.1', '10.0.0.2', '::1', '10.0.0.3']);
    expect(found.resources[0]).toMatchObject({ timeoutMs: 4000, local: '/b', remote: null });
  });

  it('is content without resources and without line ends', () => {
    expect(settings('')).toMatchObject({ node: 'hasta', resources: [] });
    expect(settings('timeout 3 # the end').resources).toEqual([]);
  });

  it('skips a character that hastd skips, and says so', () => {
    const warnings: Diagnostic[] = [];
    settings('timeout 3;\r\n', undefined, warnings);
    expect(warnings.map(formatDiagnostic)).toEqual([
      expect.stringMatching(/^hast\.conf:1:10: warning: character ";" has no meaning .*; remove it/),
    ]);
  });

  it('warns of a resource that three nodes share', () => {
    const warnings: Diagnostic[] = [];
    const text = 'resource r { local /l on hasta { remote none } on b { remote none } on c { remote none } }';
    expect(settings(text, undefined, warnings).resources[0]?.peer).toBeNull();
    expect(warnings).toMatchObject([{ line: 1, column: 10, severity: 'warning' }]);
  });

  const me = 'on hasta { local /l remote none }';
  it.each<[text: string, line: number, column: number, message: string, hint: string]>([
    [`resource 1 { ${me} }`, 1, 10, "cannot be '1', which has only digits", "'disk1'"],
    [`resource local { ${me} }`, 1, 10, "cannot be 'local', which is a keyword", "'local0'"],
    ['resource r { on 2 { } }', 1, 17, "name of a node cannot be '2'", 'digit'],
    ['resource r {\n  on hasta { local /l\n  remote 1 } }', 3, 10, "'remote' cannot be '1'", 'digit'],
    ['resource r { on other { remote none } }', 1, 10, 'hasta, hasta.example.org, ABCD-1, hostid42', '-n'],
    ['resource r {\n\non hasta { local /l } }', 3, 4, 'no remote address in its section', 'remote none'],
    ['\nresource r { on hasta { remote none } }', 2, 10, 'no path to its local component', 'local /dev/DISK'],
    [`resource r { ${me} }\nresource r { ${me} }`, 2, 10, 'more than once, first in line 1', 'rename'],
    ['timeout 0', 1, 9, "'timeout' is zero", '20'],
    ['timeout 99999999', 1, 9, 'too long', '2147483'],
    ['timeout soon', 1, 9, 'wants a number', 'timeout 20'],
    [
      'resource r { on hasta { local /non@exist remote none } }',
      1,
      36,
      "'exist' is no keyword",
      'known here: name',
    ],
    ['resource r { on hasta { local /non@exist remote none } }', 1, 36, '"@" before it ended the word', ''],
    ['resource r { listen 1.2.3.4 }', 1, 14, "'listen' cannot stand in a 'resource' section", 'top level'],
    ['resource r { remote none }', 1, 14, "'remote' cannot stand", "resource's 'on' section"],
    ['replicaton async', 1, 1, "'replicaton' is no keyword", "did you mean 'replication'?"],
    ['replication memsnc', 1, 13, "'replication' cannot be 'memsnc'", "did you mean 'memsync'?"],
    ['checksum on', 1, 10, "'checksum' cannot be 'on'", 'none, crc32, sha256'],
    ['\n  fullsync', 2, 3, "'fullsync' cannot stand at the top level", 'allowed'],
    ['resource r {\n on hasta {', 2, 12, "ends inside section 'on hasta'", "'{' of 2:11"],
    ['resource r on', 1, 12, "does not start with '{'", "write '{'"],
    ['}', 1, 1, 'closes nothing', 'remove'],
    ['exec', 1, 5, "'exec' is missing before the end of the file", "after 'exec'"],
    ['listen tcp4://10.0.0.1:0', 1, 8, "port '0' is not between", '8457'],
    ['listen tcp4://10.0.0.999', 1, 8, 'no IPv4 address', ''],
    ['listen tcp4://[::1]:8457', 1, 8, 'IPv6 address cannot follow tcp4://', ''],
    ['listen http://x', 1, 8, 'its scheme', 'tcp4://'],
    ['resource r { on hasta { local /l remote [::1 } }', 1, 41, 'no IPv6 address', ''],
    ['listen /var/run/hastd.sock', 1, 8, 'a unix socket cannot carry the data link', 'tcp4://'],
    ['listen uds:///run/x', 1, 8, 'a unix socket cannot carry the data link', 'tcp4://'],
    [
      'resource r { on hasta { local /l remote /run/x } }',
      1,
      41,
      'a unix socket cannot carry',
      'remote tcp4://',
    ],
    ['resource r { on hasta { local /l remote 10.0.0.1:70000 } }', 1, 41, "port '70000'", 'remote'],
    [
      'resource r { on hasta { local /l remote none source none } }',
      1,
      53,
      "'source' cannot be 'none'",
      'none0',
    ],
    [
      'resource r { on hasta { local /l remote none source 10.0.0.1:0 } }',
      1,
      53,
      "port '0' is not",
      'source',
    ],
    [
      'resource r { on hasta { local /l remote none timeout 3 } }',
      1,
      46,
      "'timeout' cannot stand",
      "'resource' section",
    ],
    [
      'on hasta { replication async }',
      1,
      12,
      "'replication' cannot stand in a top-level 'on' section",
      'top level',
    ],
    ['resource r { control /c }', 1, 14, "'control' cannot stand in a 'resource' section", 'top level'],
    ['name x', 1, 1, "'name' cannot stand at the top level", "'resource' section"],
    ['source 10.0.0.1', 1, 1, "'source' cannot stand at the top level", "resource's 'on'"],
    ['compression none0', 1, 13, "'compression' cannot be 'none0'", "did you mean 'none'?"],
    ['metaflush 1', 1, 11, "'metaflush' cannot be '1'", 'on, off'],
    ['resource hole { }', 1, 10, "cannot be 'hole', which is a keyword", "'hole0'"],
    ['on none { }', 1, 4, "the name of a node cannot be 'none', which is a keyword", "'none0'"],
    [`pidfile /${'x'.repeat(1023)}`, 1, 9, "argument of 'pidfile' has 1024", '1023'],
    [`listen ${'x'.repeat(1024)}`, 1, 8, "argument of 'listen' has 1024", '1023'],
    [`resource r { name ${'x'.repeat(255)} ${me} }`, 1, 19, "argument of 'name' has 255", '254'],
    [
      `resource r { on hasta { local /${'x'.repeat(1023)} remote none } }`,
      1,
      31,
      "argument of 'local' has 1024",
      '1023',
    ],
    [
      `resource r { on hasta { local /l remote ${'x'.repeat(1024)} } }`,
      1,
      41,
      "argument of 'remote' has 1024",
      '1023',
    ],
    ['control 10.0.0.1', 1, 9, 'no path of a unix socket', '/var/run/hastctl'],
    [`control /${'x'.repeat(200)}`, 1, 9, 'the socket path has 201 bytes', ''],
    [`exec /${'x'.repeat(1024)} resource r { ${me} }`, 1, 6, "argument of 'exec' has 1025", '1023'],
    [`resource ${'x'.repeat(255)} { ${me} }`, 1, 10, 'name has 255 characters', '254'],
  ])('refuses %j at %i:%i', (text, line, column, message, hint) => {
    const [first] = faults(text);
    expect(first).toMatchObject({ file: 'hast.conf', line, column, severity: 'error' });
    expect(first?.message).toContain(message);
    expect(first?.hint).toContain(hint);
  });

  it('names every fault of a file at once, and an inherited one once', () => {
    const text = `timeout 0 resource r { ${me} } resource r { ${me} } resource q { }`;
    expect(faults(text).map(({ message }) => message)).toEqual([
      expect.stringContaining('timeout'),
      expect.stringContaining('more than once'),
      expect.stringContaining("no 'on' section"),
    ]);
  });

  it('answers any text with settings or with errors that have a place', () => {
    const words =
      'resource on { } { } local remote none /x 10.0.0.1 timeout 5 0 hasta hastb r @ # \n listen [::1 name'.split(
        ' ',
      );
    const text = fc.oneof(
      fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((all) => all.join(' ')),
      fc.string(),
    );
    fc.assert(
      fc.property(text, (input) => {
        const lines = input.split('\n').length;
        for (const { line, column } of faults(input)) {
          expect(line).toBeGreaterThanOrEqual(1);
          expect(line).toBeLessThanOrEqual(lines);
          expect(column).toBeGreaterThanOrEqual(1);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('loadHastConf', () => {
  it('reads a file, and says config-missing for one that cannot be opened', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'hastate-conf-'));
    try {
      const path = join(directory, 'hast.conf');
      const missing = loadHastConf(path, { identity });
      await expect(missing).rejects.toMatchObject({ code: 'config-missing' });
      await expect(missing).rejects.toThrow(
        `${path}:1:1: cannot open the file: no such file or directory; write it`,
      );
      await writeFile(path, TWO_NODES);
      await expect(loadHastConf(path, { identity })).resolves.toMatchObject({ node: 'hasta' });
      await expect(loadHastConf(directory, { identity })).rejects.toMatchObject({ code: 'config-missing' });
      await expect(loadHastConf(path, { node: 'nobody' })).rejects.toMatchObject({ code: 'config-invalid' });
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
