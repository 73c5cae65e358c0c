import { describe, expect, it } from 'vitest';
import { isAddressOf, parseHastAddress, plainIp } from '../../../../src/daemon/engine/hast-address.ts';

describe('addresses of hast.conf', () => {
  it.each([
    ['10.0.0.1', { family: 4, host: '10.0.0.1', port: 8457 }],
    ['tcp4://10.0.0.1', { family: 4, host: '10.0.0.1', port: 8457 }],
    ['TCP://10.0.0.1:9000', { family: 4, host: '10.0.0.1', port: 9000 }],
    ['tcp4://0.0.0.0:8457', { family: 4, host: '0.0.0.0', port: 8457 }],
    ['tcp6://[::]:8457', { family: 6, host: '::', port: 8457 }],
    ['tcp6://fe80::1', { family: 6, host: 'fe80::1', port: 8457 }],
    ['[2001:db8::1]', { family: 6, host: '2001:db8::1', port: 8457 }],
    ['nodeb.example.org:1', { family: 0, host: 'nodeb.example.org', port: 1 }],
    ['tcp6://nodeb', { family: 6, host: 'nodeb', port: 8457 }],
  ])('%s', (text, expected) => {
    expect(parseHastAddress(text)).toEqual(expected);
  });

  it('gives a source no port unless it names one', () => {
    expect(parseHastAddress('tcp4://10.0.0.1', 0).port).toBe(0);
    expect(parseHastAddress('tcp4://10.0.0.1:99', 0).port).toBe(99);
  });

  it.each([
    '',
    'tcp4://',
    'a:0',
    'a:65536',
    'a:x',
    '[::1',
    'tcp4://[::1]:1',
    'tcp6://10.0.0.1',
    'udp://a',
    '/tmp/sock',
  ])('refuses "%s"', (text) => {
    expect(() => parseHastAddress(text)).toThrow(
      expect.objectContaining({ code: 'address-invalid' }) as Error,
    );
  });
});

describe('whose address is it', () => {
  it.each([
    ['tcp4://127.0.0.1:1', '127.0.0.1', true],
    ['127.0.0.1', '127.0.0.2', false],
    ['tcp6://[::1]', '0:0:0:0:0:0:0:1', true],
    ['tcp4://127.0.0.1', plainIp('::ffff:127.0.0.1'), true],
    ['[fe80::1]', plainIp('fe80::1%lo'), true],
    ['localhost', '127.0.0.1', true],
    ['localhost', '10.1.2.3', false],
    ['name.invalid', '127.0.0.1', false],
  ])('%s and %s: %s', async (remote, ip, expected) => {
    expect(await isAddressOf(remote, ip, 5000)).toBe(expected);
  });
});
