import { expect, it } from 'vitest';
import { expandNumber, humanize } from '../../../src/cli/sizes.ts';

it.each<[bytes: number, text: string]>([
  [0, '0B'],
  [999, '999B'],
  [1000, '1.0KB'],
  [4096, '4.0KB'],
  [10_188, '9.9KB'],
  [10_190, '10KB'],
  [1_023_999, '1.0MB'],
  [2_097_152, '2.0MB'],
  [67_104_256, '64MB'],
  [1_073_704_960, '1.0GB'],
  [21_474_830_848, '20GB'],
  [2 ** 52, '4.0PB'],
])('prints %i bytes as %s, as humanize_number does', (bytes, text) => {
  expect(humanize(bytes)).toBe(text);
});

it.each<[text: string, bytes: number | null]>([
  ['0', 0],
  ['4096', 4096],
  ['512b', 512],
  ['2M', 2_097_152],
  ['2mb', 2_097_152],
  ['1g', 1_073_741_824],
  ['3T', 3 * 1024 ** 4],
  ['0x1000', 4096],
  ['1e', null],
  ['', null],
  ['-1', null],
  ['1.5M', null],
  ['2Mx', null],
  ['m', null],
  ['99999999999999999999', null],
])('reads %j as %s', (text, bytes) => {
  expect(expandNumber(text)).toBe(bytes);
});
